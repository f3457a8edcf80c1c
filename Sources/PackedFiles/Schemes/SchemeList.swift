/// The schemes that a reader, or a file of rules, knows by name.
package struct SchemeList: Sendable {
    package let schemes: [Scheme]

    /// The one place, besides its own file, that a new scheme is added to.
    package static let builtIn = SchemeList([.f32, .f16, .bf16, .int8PerChannel, .int8Rotated, .int8Balanced, .int4Grouped, .int4Balanced])

    /// - Precondition: names that differ.
    package init(_ schemes: [Scheme]) {
        precondition(Set(schemes).count == schemes.count, "two schemes of one name")
        self.schemes = schemes
    }

    package var names: [String] { schemes.map(\.name) }
    package subscript(name name: String) -> Scheme? { schemes.first { $0.name == name } }
}

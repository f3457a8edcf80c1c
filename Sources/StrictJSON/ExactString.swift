/// A string that is compared, ordered and hashed by its UTF-8 bytes.
///
/// Swift's own `==` holds "e" + combining acute equal to the precomposed letter. Tensor names, JSON keys and vocabulary pieces
/// that differ in their bytes are different things, so dictionaries of them are keyed by this type.
package struct ExactString: Hashable, Comparable, Sendable {
    package let string: String

    package init(_ string: String) { self.string = string }

    package static func == (left: ExactString, right: ExactString) -> Bool {
        left.string.utf8.elementsEqual(right.string.utf8)
    }

    package static func < (left: ExactString, right: ExactString) -> Bool {
        left.string.utf8.lexicographicallyPrecedes(right.string.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in string.utf8 { hasher.combine(byte) }
        hasher.combine(0xFF as UInt8)
    }
}

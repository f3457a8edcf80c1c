/// The extents of a tensor, outermost first; empty for a scalar.
package struct Shape: Sendable, Hashable, CustomStringConvertible, ExpressibleByArrayLiteral {
    package let extents: [Int]
    /// Product of the extents: 1 for a scalar.
    package let elementCount: Int

    /// - Precondition: extents are not negative and their product fits an Int. Shapes from files go through `init(checking:)`.
    package init(_ extents: [Int]) {
        guard let shape = Shape(checking: extents) else { preconditionFailure("no shape: \(extents)") }
        self = shape
    }

    /// Nil when an extent is negative or the element count overflows.
    package init?(checking extents: [Int]) {
        var product = 1
        for extent in extents {
            guard extent >= 0 else { return nil }
            let (next, overflow) = product.multipliedReportingOverflow(by: extent)
            guard !overflow else { return nil }
            product = next
        }
        self.extents = extents
        elementCount = product
    }

    package init(arrayLiteral elements: Int...) { self.init(elements) }

    package var rank: Int { extents.count }
    package subscript(_ axis: Int) -> Int { extents[axis] }

    /// The shape as a matrix: the first extent, and the product of the others. A scalar is `[1, 1]`.
    package var rows: Int { extents.first ?? 1 }
    package var columns: Int { extents.dropFirst().reduce(1, *) }

    package var description: String { "[\(extents.map(String.init).joined(separator: ", "))]" }
}

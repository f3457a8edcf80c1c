import CKernels
package import Tensors

/// What is done with the inputs of a weight whose rows have been turned, and whose columns may have factors (Formats/schemes.md, "turn").
package struct InputTurn: Sendable {
    /// The largest block.
    package let block: Int
    /// Powers of two, one for each input; nil where all are 1.
    package let factors: Tensor?

    /// Writes turned rows, dense, over themselves or elsewhere.
    @unsafe func apply(_ x: UnsafePointer<Float>, to y: UnsafeMutableRawPointer, rows: Int, columns: Int, _ isa: CInt) {
        unsafe ck_turn_rows(isa, x, columns, factors?.pointer, y, columns, nil, rows, columns, block)
    }

    /// Whether rows that are turned for one weight are so for the other.
    package static func agree(_ a: InputTurn?, _ b: InputTurn?) -> Bool {
        guard let a, let b else { return a == nil && b == nil }
        guard a.block == b.block else { return false }
        guard let left = a.factors, let right = b.factors else { return a.factors == nil && b.factors == nil }
        let (own, other) = (left.span, right.span)
        return own.count == other.count && own.indices.allSatisfy { own[$0] == other[$0] }
    }
}

package import Tensors

/// The validated header of a safetensors file.
package struct SafetensorsHeader: Sendable {
    /// The tensors in the order of their bytes in the file.
    package let entries: [Entry]
    /// The `__metadata__` pairs, in the order in which the file has them.
    package let metadata: [(key: String, value: String)]
    /// Where the tensors' bytes begin: 8 + length of the header.
    package let dataOffset: UInt64

    /// One tensor of a file.
    package struct Entry: Sendable, Equatable {
        package let name: String
        package let dtype: DType
        package let shape: Shape
        /// Where its first byte lies in the file.
        package let offset: UInt64
        /// Elements times bytes per element; the bytes lie inside the file.
        package let byteCount: UInt64
    }

    /// What a reader accepts at most: a header is read and parsed before anything in it can be believed.
    package struct Limits: Sendable {
        var headerByteCount: UInt64 = 16 << 20
        package var tensorCount = 65_536
        var nameByteCount = 512
        var rank = 8

        package init() {}
    }
}

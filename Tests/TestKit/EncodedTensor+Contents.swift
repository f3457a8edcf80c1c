package import Tensors

extension EncodedTensor {
    /// The bytes, copied: `bytes` of a value that nothing else holds would be gone before they are looked at.
    package var contents: [UInt8] { unsafe Array(bytes) }
}

package import Tensors

extension PlaneEntry {
    /// The bytes that a plane of these values would take in a file, without writing one.
    package static func storedByteCount(of values: EncodedTensor) throws(AllocationError) -> Int {
        let slot = try FrameSlot()
        let kind = ZstdCompressor.Kind.planes(of: values.dtype)
        var codec: Codec?
        var (sum, done) = (0, 0)
        while done < values.buffer.byteCount {
            let count = min(values.buffer.byteCount - done, slot.content.byteCount)
            let piece = unsafe UnsafeRawBufferPointer(rebasing: values.bytes[done..<done + count])
            unsafe slot.content.mutableBytes.copyMemory(from: piece)
            let chosen = if let codec { codec } else { try slot.chooseCodec(count, elementByteCount: values.dtype.byteCount, kind) }
            sum += try slot.encode(count, chosen, kind).get().entry.storedByteCount
            (codec, done) = (chosen, done + count)
        }
        return sum
    }
}

package import Tensors

extension PlaneEntry {
    /// The bytes that a plane of these values would take in a file, without writing one.
    package static func storedByteCount(of values: EncodedTensor) throws(MachineError) -> Int {
        let slot = try FrameSlot()
        let kind = ZstdCompressor.Kind.planes(of: values.dtype)
        var codec: Codec?
        var (sum, done) = (0, 0)
        while done < values.buffer.byteCount {
            let end = min(values.buffer.byteCount, done + Limits.frameBytes)
            let parts = [FramePart(buffer: values.buffer, range: done..<end)]
            let chosen = if let codec { codec } else { try slot.chooseCodec(parts, elementByteCount: values.dtype.byteCount, kind) }
            sum += try slot.encode(parts, chosen, kind).get().entry.storedByteCount
            (codec, done) = (chosen, end)
        }
        return sum
    }
}

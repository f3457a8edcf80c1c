import Files
import Tensors

/// Cuts streams of bytes into frames, and appends them to the file in their order after a pool's threads have compressed and hashed them.
///
/// What is written depends on the bytes and the element sizes alone, not on the pieces in which they come nor on the number of threads. The
/// caller runs ahead of the file by at most `slots` frames.
final class SectionWriter {
    private let output: OutputStream
    private let pool: WorkPool
    private let streams: HashingStreams
    private let mostSlots: Int
    private var slotCount = 0
    private var freeSlots: [FrameSlot] = []

    /// Gets a section of which all is in the file. Its digest is complete a little later, perhaps: asking for it may have to wait.
    typealias Body = (_ section: @escaping () -> Section) -> Void

    /// What the file has still to get, in order. Offsets are known only when it is written.
    private var queue: [Item] = []
    private enum Item {
        case begin
        case frame(FrameSlot, [FramePart], encoded: Pending<Result<EncodedFrame, MachineError>>)
        case end(Codec, OrderedDigest, Body)
    }

    // The section that is being filled.
    private var elementByteCount = 1
    private var kind = ZstdCompressor.Kind.weights
    private var codec: Codec?
    private var digest: OrderedDigest
    /// What the next frame will hold, and how many bytes that is.
    private var open: [FramePart] = []
    private var openCount = 0

    // The section that is being written.
    private var offset: UInt64 = 0
    private var frames: [Section.Frame] = []

    init(_ output: OutputStream, _ pool: WorkPool, _ streams: HashingStreams, slots: Int) {
        self.output = output
        self.pool = pool
        mostSlots = max(1, slots)
        self.streams = streams
        digest = OrderedDigest(streams)
    }

    /// Starts a section for elements of so many bytes at the next aligned position.
    func begin(elementByteCount: Int, _ kind: ZstdCompressor.Kind) {
        self.elementByteCount = elementByteCount
        self.kind = kind
        codec = nil
        digest = OrderedDigest(streams)
        queue.append(.begin)
    }

    /// Adds bytes of a buffer, which nobody changes any more.
    func append(_ buffer: Buffer) throws(PackedFileError) {
        var done = 0
        while done < buffer.byteCount {
            let count = min(buffer.byteCount - done, Limits.frameBytes - openCount)
            open.append(FramePart(buffer: buffer, range: done..<done + count))
            digest.append(buffer, done..<done + count)
            openCount += count
            done += count
            if openCount == Limits.frameBytes { try dispatch() }
        }
    }

    /// Ends the section.
    /// - Parameter body: called before or in `finish`.
    func end(_ body: @escaping Body) throws(PackedFileError) {
        try dispatch()
        queue.append(.end(codec ?? .raw, digest, body))
    }

    /// Writes all that is left.
    func finish() throws(PackedFileError) {
        while !queue.isEmpty { try writeNext() }
    }

    /// Gives the open frame to the pool.
    private func dispatch() throws(PackedFileError) {
        guard !open.isEmpty else { return }
        let parts = open
        (open, openCount) = ([], 0)
        let slot = try freeSlot()
        let codec: Codec
        if let chosen = self.codec {
            codec = chosen
        } else {
            codec = try wrapping(PackedFileError.machine, try slot.chooseCodec(parts, elementByteCount: elementByteCount, kind))
            self.codec = codec
        }
        let kind = kind
        // Before all that is queued: its bytes have just been made and may still lie in a cache.
        let encoded = pool.submit(urgent: true) { slot.encode(parts, codec, kind) }
        queue.append(.frame(slot, parts, encoded: encoded))
    }

    private func freeSlot() throws(PackedFileError) -> FrameSlot {
        while freeSlots.isEmpty {
            if slotCount < mostSlots {
                slotCount += 1
                return try wrapping(PackedFileError.machine, try FrameSlot())
            }
            try writeNext()
        }
        return freeSlots.removeLast()
    }

    private func writeNext() throws(PackedFileError) {
        switch queue.removeFirst() {
        case .begin:
            try output.pad(to: Limits.alignment)
            offset = output.position
            frames = []
        case .frame(let slot, let parts, let encoded):
            let frame = try wrapping(PackedFileError.machine, try encoded.wait().get())
            var failure: PackedFileError?
            withExtendedLifetime(parts) {
                do throws(PackedFileError) { unsafe try output.write(frame.stored) } catch { failure = error }
            }
            if let failure { throw failure }
            frames.append(frame.entry)
            freeSlots.append(slot)
        case .end(let codec, let digest, let body):
            // A section in which no frame gained anything is raw, whatever was tried.
            let isRaw = frames.allSatisfy { $0.storedByteCount == $0.contentByteCount }
            body { [offset, frames] in Section(codec: isRaw ? .raw : codec, offset: offset, frames: frames, sha256: digest.digest()) }
        }
    }
}

import Files
import Synchronization
import Tensors

/// A frame that could not be restored, by its index in its section.
struct DamagedFrame: Sendable {
    let frame: Int
    let error: PackedFileError
}

/// Reads the frames of sections: pread into bounded buffers, checksum before anything else, then the codec, on all cores.
final class SectionReader: Sendable {
    private let file: InputFile
    /// Decoders that no thread is using: at most one was made for each thread that ever read at the same time.
    private let decoders = Mutex<[FrameDecoder]>([])

    init(_ file: InputFile) { self.file = file }

    /// Reads the content of a run of frames into `target`, which it fills.
    ///
    /// - Parameter offset: where the first of these frames starts in the file. The caller that walks over a section keeps count: a section
    ///   may have millions of frames, and to add up their sizes for each run would take quadratic time.
    /// - Returns: one entry for each frame that could not be restored, in the order of frames.
    @unsafe func read(
        _ section: Section, frames: Range<Int>, at offset: UInt64, subject: String, into target: UnsafeMutableRawBufferPointer
    ) -> [DamagedFrame] {
        var places: [(frame: Section.Frame, stored: UInt64, content: Int)] = []
        var stored = offset
        var content = 0
        for index in frames {
            let frame = section.frames[index]
            places.append((frame, stored, content))
            stored += UInt64(frame.storedByteCount)
            content += frame.contentByteCount
        }
        precondition(content == target.count, "\(target.count) bytes for \(content) of content")
        guard content > 0 else { return [] }
        let failures = Mutex<[DamagedFrame]>([])
        let out = unsafe SharedPointer(target.assumingMemoryBound(to: UInt8.self).baseAddress!)
        let work = places
        Parallel.forEach(work.count) { indices in
            for index in indices {
                let (frame, offset, position) = work[index]
                let part = unsafe UnsafeMutableRawBufferPointer(start: out.pointer + position, count: frame.contentByteCount)
                do throws(PackedFileError) {
                    let subject = "\(subject), frame \(frames.lowerBound + index)"
                    try withDecoder { decoder throws(PackedFileError) in unsafe try read(frame, section.codec, at: offset, subject, into: part, decoder) }
                } catch {
                    let failure = DamagedFrame(frame: frames.lowerBound + index, error: error)
                    failures.withLock { $0.append(failure) }
                }
            }
        }
        return failures.withLock { $0 }.sorted { $0.frame < $1.frame }
    }

    /// Reads parts of a section's content: `parts` give ranges of it, in order and without overlap, and where each goes in `target`.
    ///
    /// Frames that hold nothing of them are not read, and no frame is read twice.
    @unsafe func read(
        _ section: Section, parts: [(content: Range<Int>, target: Int)], subject: String, into target: UnsafeMutableRawBufferPointer
    ) throws(PackedFileError) {
        let pieces = FramePiece.cut(parts, section)
        let failures = Mutex<[DamagedFrame]>([])
        guard let base = target.baseAddress, !pieces.isEmpty else { return }
        let out = unsafe SharedPointer(base.assumingMemoryBound(to: UInt8.self))
        Parallel.forEach(pieces.count) { indices in
            for piece in pieces[indices] {
                do throws(PackedFileError) {
                    let subject = "\(subject), frame \(piece.index)"
                    try withDecoder { decoder throws(PackedFileError) in
                        let content = decoder.content
                        let whole = unsafe UnsafeMutableRawBufferPointer(rebasing: content.mutableBytes[..<piece.frame.contentByteCount])
                        unsafe try read(piece.frame, section.codec, at: piece.offset, subject, into: whole, decoder)
                        for (range, place) in piece.copies {
                            unsafe UnsafeMutableRawBufferPointer(start: out.pointer + place, count: range.count)
                                .copyMemory(from: UnsafeRawBufferPointer(rebasing: content.bytes[range]))
                        }
                    }
                } catch {
                    let failure = DamagedFrame(frame: piece.index, error: error)
                    failures.withLock { $0.append(failure) }
                }
            }
        }
        if let first = failures.withLock({ $0 }).min(by: { $0.frame < $1.frame }) { throw first.error }
    }

    @unsafe private func read(
        _ frame: Section.Frame, _ codec: Codec, at offset: UInt64, _ subject: @autoclosure () -> String, into target: UnsafeMutableRawBufferPointer,
        _ decoder: FrameDecoder
    ) throws(PackedFileError) {
        let isStoredAsIs = frame.storedByteCount == frame.contentByteCount
        let stored = isStoredAsIs ? unsafe target : unsafe UnsafeMutableRawBufferPointer(rebasing: decoder.stored.mutableBytes[..<frame.storedByteCount])
        try wrapping(PackedFileError.file, unsafe try file.read(at: offset, into: stored))
        let checksum = unsafe XXH3.hash(UnsafeRawBufferPointer(stored))
        guard checksum == frame.checksum else {
            throw .refused(.frameChecksum, subject: "\(file.path): \(subject())", expected: Hex.digits(frame.checksum), found: Hex.digits(checksum))
        }
        guard !isStoredAsIs else { return }
        if let problem = unsafe decoder.decode(UnsafeRawBufferPointer(stored), codec, into: target) {
            throw .refused(.frameContent, subject: "\(file.path): \(subject())", expected: problem.expected, found: problem.found)
        }
    }

    /// Lends a decoder that nobody else uses meanwhile.
    private func withDecoder(_ body: (FrameDecoder) throws(PackedFileError) -> Void) throws(PackedFileError) {
        let decoder: FrameDecoder
        if let idle = decoders.withLock({ $0.popLast() }) {
            decoder = idle
        } else {
            decoder = try wrapping(PackedFileError.machine, try FrameDecoder())
        }
        defer { decoders.withLock { $0.append(decoder) } }
        try body(decoder)
    }
}

/// What of one frame goes where.
struct FramePiece {
    let index: Int
    let frame: Section.Frame
    /// Where the frame starts in the file.
    let offset: UInt64
    /// Ranges of the frame's content, and where each goes.
    var copies: [(content: Range<Int>, target: Int)]

    /// The frames that hold something of `parts`, which are in order.
    static func cut(_ parts: [(content: Range<Int>, target: Int)], _ section: Section) -> [FramePiece] {
        var pieces: [FramePiece] = []
        var next = 0
        var offset = section.offset
        var start = 0
        for (index, frame) in section.frames.enumerated() {
            let end = start + frame.contentByteCount
            var piece = FramePiece(index: index, frame: frame, offset: offset, copies: [])
            while next < parts.count, parts[next].content.lowerBound < end {
                let part = parts[next]
                let range = max(start, part.content.lowerBound)..<min(end, part.content.upperBound)
                if !range.isEmpty {
                    piece.copies.append((range.lowerBound - start..<range.upperBound - start, part.target + range.lowerBound - part.content.lowerBound))
                }
                guard part.content.upperBound <= end else { break }
                next += 1
            }
            if !piece.copies.isEmpty { pieces.append(piece) }
            guard next < parts.count else { break }
            offset += UInt64(frame.storedByteCount)
            start = end
        }
        return pieces
    }
}

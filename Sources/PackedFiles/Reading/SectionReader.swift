import Files
import Synchronization
import Tensors

/// A frame that could not be restored, by its index in its section.
struct DamagedFrame: Sendable {
    let frame: Int
    let error: PackedFileError
}

/// Reads the frames of sections: pread into bounded buffers, checksum before anything else, then the codec, on all cores.
struct SectionReader: Sendable {
    let file: InputFile

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
                    unsafe try read(frame, section.codec, at: offset, "\(subject), frame \(frames.lowerBound + index)", into: part)
                } catch {
                    let failure = DamagedFrame(frame: frames.lowerBound + index, error: error)
                    failures.withLock { $0.append(failure) }
                }
            }
        }
        return failures.withLock { $0 }.sorted { $0.frame < $1.frame }
    }

    @unsafe private func read(
        _ frame: Section.Frame, _ codec: Codec, at offset: UInt64, _ subject: @autoclosure () -> String, into target: UnsafeMutableRawBufferPointer
    ) throws(PackedFileError) {
        let isStoredAsIs = frame.storedByteCount == frame.contentByteCount
        let scratch: Buffer?
        do throws(AllocationError) {
            let byteCount = frame.storedByteCount + codec.scratchByteCount(frame.contentByteCount)
            scratch = isStoredAsIs ? nil : try Buffer(byteCount: byteCount, zeroed: false)
        } catch { throw .memory(error) }
        let stored = unsafe scratch.map { unsafe UnsafeMutableRawBufferPointer(rebasing: $0.mutableBytes[..<frame.storedByteCount]) } ?? target
        do throws(FileError) { unsafe try file.read(at: offset, into: stored) } catch { throw .file(error) }
        let checksum = unsafe XXH3.hash(UnsafeRawBufferPointer(stored))
        guard checksum == frame.checksum else {
            throw .refused(.frameChecksum, subject: "\(file.path): \(subject())", expected: Hex.digits(frame.checksum), found: Hex.digits(checksum))
        }
        guard let scratch else { return }
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch.mutableBytes[frame.storedByteCount...])
        if let problem = unsafe codec.decode(UnsafeRawBufferPointer(stored), into: target, scratch: rest) {
            throw .refused(.frameContent, subject: "\(file.path): \(subject())", expected: problem.expected, found: problem.found)
        }
    }
}

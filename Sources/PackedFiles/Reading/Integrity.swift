import Files
import Tensors

/// Something in a packed file that is not what its directory says.
package struct IntegrityFinding: Sendable, Equatable, CustomStringConvertible {
    /// Nil where no tensor is concerned: blobs, attachments, padding.
    package let tensor: String?
    package let plane: String?
    package let frame: Int?
    package let error: PackedFileError

    package var description: String { "\(error)" }
}

extension PackedFile {
    /// Reads everything and gives all that is wrong: frame checksums, SHA-256 of each plane, blob and attachment, the rules for values
    /// of `ValueRule`, and the padding. Nothing is wrong with a file where the result is empty.
    /// - Parameter progress: called with the stored bytes that are done and those of the file.
    package func verifyIntegrity(_ progress: (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in }) -> [IntegrityFinding] {
        var check = IntegrityCheck(file: file, reader: reader, total: header.totalByteCount)
        for blob in directory.blobs { check.examine(blob.section, "blob \(blob.name)", progress: progress) }
        for blob in attachments { check.examine(blob.section, "attachment \(blob.name)", progress: progress) }
        for tensor in directory.tensors {
            for (plane, specification) in zip(tensor.planes, tensor.scheme.planes(for: tensor.shape)) {
                let census = ValueCensus(specification.rule)
                let expected = specification.rule.allowsStated ? tensor.nonfinite : 0
                check.examine(
                    plane.section, "tensor \(tensor.name), plane \(plane.name)", tensor: tensor.name, plane: plane.name, census: (census, expected),
                    progress: progress)
            }
        }
        for range in padding { check.examine(padding: range) }
        check.examineEnd()
        progress(header.totalByteCount, header.totalByteCount)
        return check.findings
    }
}

/// The walk over a file's sections that `verifyIntegrity` makes.
private struct IntegrityCheck {
    private static let batch = 16

    let file: InputFile
    let reader: SectionReader
    let total: UInt64
    private(set) var findings: [IntegrityFinding] = []
    private var done = UInt64(PackedHeader.byteCount)

    init(file: InputFile, reader: SectionReader, total: UInt64) {
        self.file = file
        self.reader = reader
        self.total = total
    }

    mutating func examine(
        _ section: Section, _ subject: String, tensor: String? = nil, plane: String? = nil, census: (rules: ValueCensus, expected: Int)? = nil,
        progress: (UInt64, UInt64) -> Void
    ) {
        func finding(_ error: PackedFileError, frame: Int? = nil) -> IntegrityFinding {
            IntegrityFinding(tensor: tensor, plane: plane, frame: frame, error: error)
        }
        var digest = SHA256Stream()
        var rules = census?.rules
        var isWhole = true
        var offset = section.offset
        for start in stride(from: 0, to: section.frames.count, by: Self.batch) {
            let frames = start..<min(section.frames.count, start + Self.batch)
            let buffer: Buffer
            do throws(MachineError) {
                buffer = try Buffer(byteCount: section.frames[frames].reduce(0) { $0 + $1.contentByteCount }, zeroed: false)
            } catch {
                findings.append(finding(.machine(error)))
                return
            }
            let failures = unsafe reader.read(section, frames: frames, at: offset, subject: subject, into: buffer.mutableBytes)
            findings.append(contentsOf: failures.map { finding($0.error, frame: $0.frame) })
            if failures.isEmpty {
                unsafe digest.update(buffer.bytes)
                unsafe rules?.examine(buffer.bytes)
            } else {
                isWhole = false
            }
            let stored = section.frames[frames].reduce(0) { $0 + UInt64($1.storedByteCount) }
            offset += stored
            done += stored
            progress(done, total)
        }
        // What a damaged frame holds is unknown, and so is what hash and values would have been.
        guard isWhole else { return }
        let found = digest.digest()
        if found != section.sha256 {
            findings.append(finding(.refused(.planeHash, subject: "\(file.path): \(subject)", expected: section.sha256, found: found)))
        }
        if let rules, let census, rules.violations != census.expected {
            let place = rules.first.map { ", element \($0)" } ?? ""
            let others = census.expected > 0 ? " but for \(census.expected)" : ""
            findings.append(
                finding(
                    .refused(
                        .planeValues, subject: "\(file.path): \(subject)\(place)", expected: "values \(rules.rule.name)\(others)",
                        found: "\(rules.violations) others")))
        }
    }

    mutating func examine(padding range: Range<UInt64>) {
        do throws(FileError) {
            let bytes = try file.bytes(at: range.lowerBound, count: Int(range.upperBound - range.lowerBound))
            guard let index = bytes.firstIndex(where: { $0 != 0 }) else { return }
            add(
                .refused(
                    .padding, subject: "\(file.path): byte \(range.lowerBound + UInt64(index))", expected: "0", found: "0x\(String(bytes[index], radix: 16))"))
        } catch { add(.file(error)) }
    }

    mutating func examineEnd() {
        do throws(FileError) { try file.checkUnchanged() } catch { add(.file(error)) }
    }

    private mutating func add(_ error: PackedFileError) {
        findings.append(IntegrityFinding(tensor: nil, plane: nil, frame: nil, error: error))
    }
}

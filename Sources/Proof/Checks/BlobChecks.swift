import Checkpoints
import PackedFiles
import Parity
import StrictJSON

/// Rung P1: configurations and tokenizer are the checkpoint's, byte for byte, or with the same values: who wrote a file, with what white space, is none
/// of its values.
struct BlobChecks {
    private(set) var outcome = Outcome()

    init(_ file: PackedFile, _ checkpoint: Checkpoint) {
        var (held, rewritten) = (0, 0)
        for blob in file.directory.blobs {
            switch Self.compare(blob.name, file, checkpoint) {
            case .same: held += 1
            case .rewritten: (held, rewritten) = (held + 1, rewritten + 1)
            case .other(let finding): outcome.findings.append(finding)
            }
        }
        outcome.add(
            "P1", "configurations and tokenizer are the checkpoint's", held: held, of: file.directory.blobs.count,
            unit: rewritten == 0 ? "small files" : "small files, \(rewritten) with the same values written otherwise",
            reason: "compared byte for byte, and by their values where bytes differ")
    }

    private enum Comparison {
        case same
        case rewritten
        case other(Finding)
    }

    private static func compare(_ name: String, _ file: PackedFile, _ checkpoint: Checkpoint) -> Comparison {
        guard let source = checkpoint.smallFile(name) else {
            return .other(Finding(subject: name, what: "file", expected: "in the checkpoint as in the packed file", found: "only in the packed file"))
        }
        let packed: [UInt8]
        do throws(PackedFileError) { packed = try file.blob(name) } catch {
            return .other(Finding(subject: name, what: "content", expected: "to be readable", found: "\(error)"))
        }
        guard packed != source.bytes else { return .same }
        guard BlobCauses.differences(expected: source.bytes, found: packed)?.isEmpty != true else { return .rewritten }
        let first = zip(packed, source.bytes).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(packed.count, source.bytes.count)
        return .other(
            Finding(
                subject: name, what: "content", expected: "the checkpoint's \(source.bytes.count) bytes",
                found: "\(packed.count) bytes, other from byte \(first) on",
                hint: "the file was made from another state of this checkpoint, or changed; convert again"))
    }
}

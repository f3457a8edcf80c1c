import Checkpoints
import PackedFiles
import Parity
import StrictJSON

/// Rung P1: configurations and tokenizer are the checkpoint's, byte for byte.
struct BlobChecks {
    private(set) var outcome = Outcome()

    init(_ file: PackedFile, _ checkpoint: Checkpoint) {
        var held = 0
        for blob in file.directory.blobs {
            if let finding = Self.compare(blob.name, file, checkpoint) { outcome.findings.append(finding) } else { held += 1 }
        }
        outcome.add(
            "P1", "configurations and tokenizer are the checkpoint's", held: held, of: file.directory.blobs.count, unit: "small files",
            reason: "compared byte for byte")
    }

    private static func compare(_ name: String, _ file: PackedFile, _ checkpoint: Checkpoint) -> Finding? {
        guard let source = checkpoint.smallFile(name) else {
            return Finding(subject: name, what: "file", expected: "in the checkpoint as in the packed file", found: "only in the packed file")
        }
        let packed: [UInt8]
        do throws(PackedFileError) { packed = try file.blob(name) } catch {
            return Finding(subject: name, what: "content", expected: "to be readable", found: "\(error)")
        }
        guard packed != source.bytes else { return nil }
        let first = zip(packed, source.bytes).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(packed.count, source.bytes.count)
        return Finding(
            subject: name, what: "content", expected: "the checkpoint's \(source.bytes.count) bytes",
            found: "\(packed.count) bytes, other from byte \(first) on",
            hint: "the file was made from another state of this checkpoint, or changed; convert again")
    }
}

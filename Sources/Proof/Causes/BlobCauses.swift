import Checkpoints
import PackedFiles
import Parity
import StrictJSON

/// Says of small files that differ from the checkpoint's what in them is different.
enum BlobCauses {
    /// Adds the cause to the findings whose subject is a small file of the checkpoint.
    static func explain(_ findings: [Finding], _ file: PackedFile, _ checkpoint: Checkpoint) -> [Finding] {
        findings.map { finding in
            guard let packed = try? file.blob(finding.subject), let source = checkpoint.smallFile(finding.subject)
            else { return finding }
            var result = finding
            result.cause = cause(name: finding.subject, expected: source.bytes, found: packed)
            return result
        }
    }

    static func cause(name: String, expected: [UInt8], found: [UInt8]) -> Cause? {
        let kind: Cause.Kind = name.hasPrefix("tokenizer/") ? .tokenizer : .configuration
        guard expected != found else { return nil }
        guard let left = try? JSONValue.parse(expected, maximumDepth: 64), let right = try? JSONValue.parse(found, maximumDepth: 64) else {
            return kind == .tokenizer ? Cause(kind, "another tokenizer file than the checkpoint's") : nil
        }
        var differences: [String] = []
        collect(left, right, path: "", into: &differences)
        guard let first = differences.first else { return Cause(kind, "the same values, written otherwise") }
        let more = differences.count > 1 ? ", and \(differences.count - 1) more" : ""
        return Cause(kind, (kind == .tokenizer ? "another tokenizer than the checkpoint's: " : "") + first + more)
    }

    /// Every place where two JSON values differ, as "member: what is expected and what is found"; at most some hundred of them.
    private static func collect(_ expected: JSONValue, _ found: JSONValue, path: String, into list: inout [String]) {
        guard expected != found, list.count < 200 else { return }
        if let left = expected.object, let right = found.object {
            for key in left.keys + right.keys.filter({ left[$0] == nil }) {
                collect(left[key] ?? .null, right[key] ?? .null, path: path.isEmpty ? key : "\(path).\(key)", into: &list)
            }
            return
        }
        if let left = expected.array, let right = found.array, left.count == right.count {
            for index in left.indices { collect(left[index], right[index], path: "\(path)[\(index)]", into: &list) }
            return
        }
        list.append("\(path) is \(short(found)) instead of \(short(expected))")
    }

    private static func short(_ value: JSONValue) -> String {
        if let items = value.array { return "a list of \(items.count)" }
        let text = value.text
        return text.utf8.count <= 60 ? text : "\(value.kind) of \(text.utf8.count) bytes"
    }
}

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
        guard let differences = differences(expected: expected, found: found) else {
            return kind == .tokenizer ? Cause(kind, "another tokenizer file than the checkpoint's") : nil
        }
        guard let first = differences.first else { return Cause(kind, "the same values, written otherwise") }
        let more = differences.count > 1 ? ", and \(differences.count - 1) more" : ""
        return Cause(kind, (kind == .tokenizer ? "another tokenizer than the checkpoint's: " : "") + first + more)
    }

    /// Members that say who wrote a configuration, and nothing of what it configures.
    private static let writers: Set = ["_diffusers_version", "transformers_version", "_name_or_path"]

    /// The values in which two texts of JSON differ; nil where they are none.
    static func differences(expected: [UInt8], found: [UInt8]) -> [String]? {
        guard let left = try? JSONValue.parse(expected, maximumDepth: 64), let right = try? JSONValue.parse(found, maximumDepth: 64) else { return nil }
        var differences: [String] = []
        collect(withoutWriters(left), withoutWriters(right), path: "", into: &differences)
        return differences
    }

    private static func withoutWriters(_ value: JSONValue) -> JSONValue {
        guard let object = value.object else { return value }
        return .object(JSONObject(object.members.filter { !writers.contains($0.key) }.map { ($0.key, $0.value) }))
    }

    /// Every place where two JSON values differ, as "member: what is expected and what is found"; at most some hundred of them.
    private static func collect(_ expected: JSONValue, _ found: JSONValue, path: String, into list: inout [String]) {
        guard expected != found, list.count < 200 else { return }
        if let left = expected.object, let right = found.object {
            for key in left.keys + right.keys.filter({ left[$0] == nil }) {
                let path = path.isEmpty ? key : "\(path).\(key)"
                guard let left = left[key], let right = right[key] else {
                    // A member that is null is not one that is absent, which has a default.
                    list.append("\(path) is \(right[key].map(short) ?? "absent") instead of \(left[key].map(short) ?? "absent")")
                    continue
                }
                collect(left, right, path: path, into: &list)
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

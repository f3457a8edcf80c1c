import Files
import StrictJSON

/// The names that a packed file may hold.
enum NameRules {
    /// What is wrong with the name of a tensor, plane or component; nil for a good one.
    static func problem(withName name: String) -> String? {
        if name.isEmpty { return "an empty name" }
        if name.utf8.count > Limits.nameBytes { return "\(name.utf8.count) bytes" }
        // Names end up in messages and tables.
        if name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) { return "a control character" }
        return nil
    }

    /// What is wrong with the name of a blob, which `export` turns into a path below a folder of the user's choice.
    static func problem(withPath path: String) -> String? {
        if let problem = problem(withName: path) { return problem }
        for part in path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            guard Paths.isPlainName(String(Substring(part))) else { return "\"\(path)\"" }
        }
        return nil
    }

    /// The first name that stands twice, compared by bytes.
    static func duplicate(in names: some Sequence<String>) -> String? {
        var seen: Set<ExactString> = []
        return names.first { !seen.insert(ExactString($0)).inserted }
    }
}

import Files
import StrictJSON

/// The list of an export's files that lies among them (Formats/checkpoint.md, "Exports"): what a later export may replace.
///
/// A folder is replaceable where it holds these files as they were written and nothing else, so that nothing is ever deleted that somebody
/// added or changed.
struct ExportMark {
    static let fileName = "sprintpack-export.json"
    private static let byteLimit: UInt64 = 16 << 20

    /// Size and SHA-256 of every file, by its path in the folder.
    let files: [(path: String, byteCount: UInt64, sha256: String)]

    /// Lists a folder that is complete.
    init(of folder: String) throws(FileError) {
        var files: [(String, UInt64, String)] = []
        for path in try FolderTree(folder).files {
            let file = try InputFile(path: Paths.join(folder, path))
            files.append((path, file.size, try file.sha256()))
        }
        self.files = files
    }

    /// Reads the list in a folder; nil where there is none.
    init?(readingFrom folder: String) {
        guard let text = try? InputFile(path: Paths.join(folder, Self.fileName)).contents(limit: Self.byteLimit),
            let list = try? JSONValue.parse(text, maximumDepth: 4, maximumValues: text.count)["files"]?.array
        else { return nil }
        var files: [(String, UInt64, String)] = []
        for item in list {
            guard let path = item["path"]?.string, let count = item["bytes"]?.integer.flatMap({ UInt64(exactly: $0) }), let hash = item["sha256"]?.string,
                path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({ Paths.isPlainName(String($0)) })
            else { return nil }
            files.append((path, count, hash))
        }
        self.files = files
    }

    func text(tool: String) -> [UInt8] {
        let list = files.map { file -> JSONValue in
            ["path": .string(file.path), "bytes": .integer(Int64(file.byteCount)), "sha256": .string(file.sha256)]
        }
        return JSONValue.object(["tool": .string(tool), "files": .array(list)]).canonicalText
    }

    /// What of a folder is not as this list says, at most a few names of it; nil where the folder may be replaced.
    /// - Parameter readsContent: whether every file is read and hashed, or sizes alone are compared.
    func obstacle(in folder: String, readsContent: Bool) throws(FileError) -> String? {
        let tree = try FolderTree(folder)
        let listed = Dictionary(files.map { (ExactString($0.path), $0) }, uniquingKeysWith: { first, _ in first })
        var strange = tree.others
        // The folders that hold the files, and no more.
        let folders = Set(files.flatMap { Self.folders(of: $0.path) }.map(ExactString.init))
        strange += tree.folders.filter { !folders.contains(ExactString($0)) }
        for path in tree.files where path != Self.fileName {
            guard let record = listed[ExactString(path)] else {
                strange.append(path)
                continue
            }
            let file = try InputFile(path: Paths.join(folder, path))
            var isSame = file.size == record.byteCount
            if isSame && readsContent { isSame = try file.sha256() == record.sha256 }
            if !isSame { strange.append("\(path) (changed)") }
        }
        guard !strange.isEmpty else { return nil }
        let names = strange.sorted().prefix(5).map(\.quoted).joined(separator: ", ")
        return strange.count > 5 ? "\(names) and \(strange.count - 5) more" : names
    }

    /// Removes the listed files and the folders that are empty then, if all are still as they were written: somebody may have changed one in place
    /// while this tool was at work. What came to lie there in the last moment stays, and so does the folder.
    /// - Returns: whether the folder is gone.
    func remove(_ folder: String) -> Bool {
        do throws(FileError) { guard try obstacle(in: folder, readsContent: true) == nil else { return false } } catch { return false }
        for path in files.map(\.path) + [Self.fileName] { Paths.removeFile(Paths.join(folder, path)) }
        // The deepest first.
        for path in Set(files.flatMap { Self.folders(of: $0.path) }).sorted(by: { $0.utf8.count > $1.utf8.count }) {
            Paths.removeEmptyFolder(Paths.join(folder, path))
        }
        return Paths.removeEmptyFolder(folder)
    }

    /// The folders above a file: "a", "a/b" of "a/b/c".
    private static func folders(of path: String) -> [String] {
        let parts = path.split(separator: "/").dropLast()
        return parts.indices.map { parts[...$0].joined(separator: "/") }
    }
}

/// Everything in a folder, by relative path; links are listed, not followed.
private struct FolderTree {
    private(set) var files: [String] = []
    private(set) var folders: [String] = []
    /// Links, pipes, devices.
    private(set) var others: [String] = []

    init(_ root: String) throws(FileError) { try read(root, "") }

    private mutating func read(_ root: String, _ folder: String) throws(FileError) {
        for name in try Paths.entries(of: Paths.join(root, folder)) {
            let path = Paths.join(folder, name)
            switch Paths.kind(of: Paths.join(root, path)) {
            case .file: files.append(path)
            case .folder:
                folders.append(path)
                try read(root, path)
            case .link, .other, nil: others.append(path)
            }
        }
    }
}

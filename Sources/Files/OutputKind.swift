import Glibc

/// What an output is, and how one that this tool wrote earlier is known again.
///
/// Nothing is ever replaced that the tool did not write: `--force` stands for "draw that again", not for "delete what is there".
package struct OutputKind: Sendable {
    /// What the message says was expected: "a picture that sprintpack drew".
    let name: String
    /// Whether the file has the mark of this tool. It looks at the content; names say nothing.
    let recognizes: @Sendable (InputFile) -> Bool

    package init(_ name: String, recognizes: @escaping @Sendable (InputFile) -> Bool) {
        self.name = name
        self.recognizes = recognizes
    }
}

extension InputFile {
    /// Whether the bytes from `offset` on are these.
    package func has(_ bytes: [UInt8], at offset: UInt64 = 0) -> Bool { (try? self.bytes(at: offset, count: bytes.count)) == bytes }
}

/// What stands at the name of an output before it is written.
struct OutputPlace {
    let path: String
    let kind: OutputKind?
    let inputs: [FileIdentity]

    enum Occupant { case nothing, replaceable }

    /// Looks at what is there now, links not followed. An empty file holds nothing to lose.
    /// - Throws: where it is something that must stay.
    func occupant() throws(FileError) -> Occupant {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else {
            // A name that is too long or leads through a file would fail at the end of the work otherwise.
            guard errno == ENOENT else { throw .system(operation: "create", path: path, code: errno) }
            return .nothing
        }
        if let identity = FileIdentity(path: path), inputs.contains(identity) { throw .isInput(path: path) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw .notRegular(path: path, found: "a directory")
        case S_IFLNK: throw .isLink(path: path, target: Paths.linkTarget(path) ?? "nowhere")
        default: throw .notRegular(path: path, found: "a pipe or device")
        }
        guard status.st_size == 0 || isOurs(path) else { throw .foreign(path: path, expected: kind?.name ?? "a free name") }
        return .replaceable
    }

    /// Whether the file at another name, which has stood at this one, is one that may be replaced.
    func allows(_ path: String) -> Bool { (try? OutputPlace(path: path, kind: kind, inputs: inputs).occupant()) != nil }

    private func isOurs(_ path: String) -> Bool {
        guard let kind, let file = try? InputFile(path: path) else { return false }
        return kind.recognizes(file)
    }
}

import Glibc

/// The few operations on paths and folders that the tool needs.
package enum Paths {
    package static func join(_ folder: String, _ name: String) -> String {
        folder.isEmpty || folder.utf8.last == UInt8(ascii: "/") ? folder + name : "\(folder)/\(name)"
    }

    /// The folder a path lies in, "." for a bare name.
    package static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The last component of a path.
    package static func name(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(path[path.utf8.index(after: slash)...])
    }

    /// Whether `name` names an entry of a folder and nothing outside it: no separator, not "." or "..", no NUL.
    package static func isPlainName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
    }

    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    package enum Kind: Sendable { case file, folder, link, other }

    /// What has a name, links not followed; nil where nothing has it.
    package static func kind(of path: String) -> Kind? {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        return switch status.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .folder
        case S_IFLNK: .link
        default: .other
        }
    }

    package static func exists(_ path: String) -> Bool { FileIdentity(path: path) != nil }

    /// Where a link leads; nil for what is no link.
    package static func linkTarget(_ path: String) -> String? {
        var text = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = unsafe text.withUnsafeMutableBytes { unsafe readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) }
        return count >= 0 ? String(decoding: text[..<count], as: UTF8.self) : nil
    }

    /// Whether two names are the same entry of the same folder, whether it exists or not.
    package static func areSame(_ left: String, _ right: String) -> Bool {
        guard left != right else { return true }
        guard name(of: left) == name(of: right), let folder = FileIdentity(path: parent(of: left)) else { return false }
        return folder == FileIdentity(path: parent(of: right))
    }

    /// The names in a folder, sorted by bytes.
    package static func entries(of folder: String) throws(FileError) -> [String] {
        guard let stream = unsafe opendir(folder) else { throw .system(operation: "list", path: folder, code: errno) }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        // readdir tells the end from a failure by errno alone, and each turn of the loop may leave something else there.
        errno = 0
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw .system(operation: "list", path: folder, code: errno) }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Makes one folder; one that is there already is fine.
    package static func makeDirectory(_ path: String) throws(FileError) {
        guard unsafe mkdir(path, 0o777) != 0, !(errno == EEXIST && isDirectory(path)) else { return }
        throw .system(operation: "make folder", path: path, code: errno)
    }

    /// Makes one folder, which must not be there.
    package static func makeNewDirectory(_ path: String) throws(FileError) {
        guard unsafe mkdir(path, 0o777) == 0 else { throw .system(operation: "make folder", path: path, code: errno) }
    }

    /// Removes one file or link.
    package static func removeFile(_ path: String) { unsafe unlink(path) }

    /// Removes a folder that is empty.
    /// - Returns: whether it was.
    @discardableResult
    package static func removeEmptyFolder(_ path: String) -> Bool { unsafe rmdir(path) == 0 }

    /// Removes a temporary file, or a temporary folder with all it holds; links are removed, not followed. What cannot be removed stays.
    package static func removeTree(_ path: String) {
        guard unsafe unlink(path) != 0, errno == EISDIR || errno == EPERM else { return }
        for name in (try? entries(of: path)) ?? [] { removeTree(join(path, name)) }
        removeEmptyFolder(path)
    }
}

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

    package static func exists(_ path: String) -> Bool { FileIdentity(path: path) != nil }

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

    /// Removes a file, or a folder with all it holds; links are removed, not followed. What cannot be removed stays.
    package static func removeTree(_ path: String) {
        guard unsafe unlink(path) != 0, errno == EISDIR || errno == EPERM else { return }
        for name in (try? entries(of: path)) ?? [] { removeTree(join(path, name)) }
        unsafe rmdir(path)
    }
}

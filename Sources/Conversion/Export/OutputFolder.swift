import Files
import Glibc

/// A folder that appears under its name complete, or not at all: what `OutputFile` is for one file.
final class OutputFolder {
    let path: String
    /// Where the content is written until `commit`.
    let temporary: String
    private let replace: Bool
    private var isCommitted = false

    /// Makes the temporary folder next to `path`.
    /// - Parameters:
    ///   - replace: whether a folder that an export has made, or an empty one, may be replaced.
    ///   - inputs: files that must not lie in the folder that is replaced.
    init(path: String, replace: Bool, inputs: [String]) throws(ConversionError) {
        let path = Self.withoutTrailingSlashes(path)
        if Paths.exists(path) {
            guard replace else { throw .folderExists(path: path) }
            guard Self.isReplaceable(path) else { throw .folderNotReplaceable(path: path) }
            for input in inputs where Self.lies(input, in: path) { throw .file(.isInput(path: input)) }
        }
        self.path = path
        self.replace = replace
        let suffix = String(UInt32.random(in: 0 ... .max), radix: 36)
        let temporary = Paths.join(Paths.parent(of: path), ".\(Paths.name(of: path)).\(getpid()).\(suffix).tmp")
        self.temporary = temporary
        TemporaryFiles.add(temporary)
        do throws(FileError) { try Paths.makeDirectory(temporary) } catch {
            TemporaryFiles.remove(temporary)
            throw .file(error)
        }
    }

    deinit {
        if !isCommitted { remove() }
    }

    /// Gives the folder its name; what had the name before is removed.
    func commit() throws(ConversionError) {
        let old = temporary + ".old"
        var code: Int32 = 0
        var isReplaced = false
        // Under the lock of TemporaryFiles an interrupt finds the old folder or the new one under the name.
        TemporaryFiles.withLock { names in
            if replace { isReplaced = unsafe rename(path, old) == 0 }
            if unsafe rename(temporary, path) == 0 {
                names.remove(temporary)
            } else {
                code = errno
                if isReplaced { unsafe rename(old, path) }
            }
        }
        // A folder that is not empty is never renamed over.
        guard code == 0 else {
            throw code == ENOTEMPTY || code == EEXIST ? .folderExists(path: path) : .file(.system(operation: "rename", path: path, code: code))
        }
        isCommitted = true
        if isReplaced { Paths.removeTree(old) }
    }

    private func remove() {
        Paths.removeTree(temporary)
        TemporaryFiles.remove(temporary)
    }

    private static func withoutTrailingSlashes(_ path: String) -> String {
        var path = Substring(path)
        while path.utf8.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        return String(path)
    }

    /// An empty folder, or one that has the file every checkpoint in the layout of diffusers has: nobody's home is taken for an old export.
    private static func isReplaceable(_ path: String) -> Bool {
        guard Paths.isDirectory(path), let entries = try? Paths.entries(of: path) else { return false }
        return entries.isEmpty || entries.contains("model_index.json")
    }

    /// Whether `file` lies in `folder` or below it, links followed.
    private static func lies(_ file: String, in folder: String) -> Bool {
        guard let target = FileIdentity(path: folder) else { return false }
        var place = Paths.parent(of: file)
        var previous: FileIdentity?
        while let identity = FileIdentity(path: place), identity != previous {
            if identity == target { return true }
            previous = identity
            place = Paths.join(place, "..")
        }
        return false
    }
}

import Files
import Glibc
import StrictJSON
import Tensors

/// A folder that appears under its name complete, or not at all: what `OutputFile` is for one file.
///
/// What it replaces is an empty folder or an earlier export that nobody added to or changed, which is looked at before the work and again
/// in the moment of the exchange.
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
        if Paths.kind(of: path) != nil {
            for input in inputs where Self.lies(input, in: path) { throw .file(.isInput(path: input)) }
            _ = try Self.replaceable(path, readsContent: true)
            guard replace else { throw .folderExists(path: path) }
        }
        self.path = path
        self.replace = replace
        let temporary = TemporaryFiles.name(in: Paths.parent(of: path), like: Paths.name(of: path))
        self.temporary = temporary
        TemporaryFiles.add(temporary)
        do throws(FileError) { try Paths.makeNewDirectory(temporary) } catch {
            TemporaryFiles.remove(temporary)
            throw .file(error)
        }
    }

    deinit {
        guard !isCommitted else { return }
        Paths.removeTree(temporary)
        TemporaryFiles.remove(temporary)
    }

    /// What of this tool's is at `path`: nil an empty folder, else the list of an export.
    /// - Throws: where something is in the way.
    private static func replaceable(_ path: String, named name: String? = nil, readsContent: Bool) throws(ConversionError) -> ExportMark? {
        let name = name ?? path
        func refused(_ found: String) -> ConversionError { .folderNotReplaceable(path: name, found: found) }
        switch Paths.kind(of: path) {
        case .folder: break
        case .link: throw refused("a link to \(Paths.linkTarget(path) ?? "nowhere")")
        case .file: throw refused("a file")
        case .other, nil: throw refused("a pipe or device")
        }
        let obstacle: String
        do throws(FileError) {
            let entries = try Paths.entries(of: path)
            guard !entries.isEmpty else { return nil }
            if let mark = ExportMark(readingFrom: path) {
                guard let found = try mark.obstacle(in: path, readsContent: readsContent) else { return mark }
                obstacle = "in it \(found)"
            } else {
                let names = entries.prefix(5).map(\.quoted).joined(separator: ", ") + (entries.count > 5 ? " and \(entries.count - 5) more" : "")
                obstacle = "\(names), and no \(ExportMark.fileName) that says it is an export"
            }
        } catch { throw .file(error) }
        throw refused(obstacle)
    }

    /// Gives the folder its name; an earlier export that had it is removed, file by file as its list says.
    func commit(tool: String) throws(ConversionError) {
        try wrapping(ConversionError.file) { () throws(FileError) in
            try OutputFile.write(ExportMark(of: temporary).text(tool: tool), to: Paths.join(temporary, ExportMark.fileName), replace: false)
        }
        var failure: ConversionError?
        var old: (path: String, mark: ExportMark?)?
        // Under the lock of TemporaryFiles an interrupt finds the old folder or the new one under the name.
        TemporaryFiles.withLock { names in
            do throws(ConversionError) {
                old = replace && Paths.kind(of: path) != nil ? try exchange() : nil
                if old == nil { try takeName() }
                names.remove(temporary)
                isCommitted = true
            } catch { failure = error }
        }
        if let failure { throw failure }
        guard let old else { return }
        guard old.mark?.remove(old.path) ?? Paths.removeEmptyFolder(old.path) else { throw .file(.displaced(path: path, to: old.path)) }
    }

    /// A folder is renamed over nothing, or over an empty folder.
    private func takeName() throws(ConversionError) {
        let code = Renaming.replacing(temporary, to: path)
        guard code == 0 else {
            throw [ENOTEMPTY, EEXIST, ENOTDIR].contains(code)
                ? .folderNotReplaceable(path: path, found: "what came there meanwhile") : .file(.system(operation: "rename", path: path, code: code))
        }
    }

    /// Puts the new folder in the place of the old one, in one step where the volume can.
    /// - Returns: where the old one is then, and its list.
    private func exchange() throws(ConversionError) -> (path: String, mark: ExportMark?)? {
        if let code = Renaming.exchange(temporary, path) {
            guard code == 0 else { throw .file(.system(operation: "rename", path: path, code: code)) }
            do throws(ConversionError) { return (temporary, try Self.replaceable(temporary, named: path, readsContent: false)) } catch {
                guard Renaming.exchange(temporary, path) == 0 else {
                    isCommitted = true
                    throw .file(.displaced(path: path, to: temporary))
                }
                throw error
            }
        }
        let mark = try Self.replaceable(path, readsContent: false)
        let aside = TemporaryFiles.name(in: Paths.parent(of: path))
        let code = Renaming.replacing(path, to: aside)
        guard code == 0 else { throw .file(.system(operation: "rename", path: path, code: code)) }
        do throws(ConversionError) { try takeName() } catch {
            _ = Renaming.replacing(aside, to: path)
            throw error
        }
        return (aside, mark)
    }

    private static func withoutTrailingSlashes(_ path: String) -> String {
        var path = Substring(path)
        while path.utf8.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        return String(path)
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

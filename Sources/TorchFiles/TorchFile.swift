package import Files
import StrictJSON
import Tensors

#if _endian(big)
    #error("tensors are read as the file holds them, which is little-endian")
#endif

/// A file of torch.save open for reading: its archive and its pickle are validated, nothing of it is executed, tensors are read on demand, from
/// any thread. Formats/checkpoint.md says what is accepted.
package final class TorchFile: Sendable {
    package let file: InputFile
    package var path: String { file.path }
    /// Every dictionary that has tensors, in the order in which the file's own dictionary leads to them.
    package let containers: [TorchContainer]
    /// The keys of the file's own dictionary, whatever they lead to.
    package let topLevelKeys: [String]
    /// Whether the archive's checksums are more than zeros.
    package let hasChecksums: Bool
    /// Of each storage; none where the archive has no checksums.
    private let checksums: [RecordChecksum]

    /// Bytes that a pickle may have: it holds names and sizes, no elements.
    private static let pickleByteLimit: UInt64 = 64 << 20

    /// The first bytes of such a file.
    package static let magic: [UInt8] = [0x50, 0x4B, 0x03, 0x04]

    /// Opens a file and validates what it says of its tensors; no tensor is read.
    package static func open(_ path: String) throws(TorchFileError) -> TorchFile {
        let file: InputFile
        do { file = try InputFile(path: path) } catch { throw .file(error) }
        let archive = try ZipArchive(file)
        let folder = try rootFolder(of: archive)
        try checkFormat(archive, folder)
        guard let entry = archive.entry("\(folder)/data.pkl") else { throw .missingEntry(path: path, entry: "\(folder)/data.pkl") }
        let bytes = try archive.contents(entry, limit: pickleByteLimit)
        let (graph, end) = try PickleMachine.run(bytes, path: path)
        guard end == bytes.count else {
            throw .operand(path: path, at: end, subject: "the pickle", expected: "its end", found: "\(bytes.count - end) bytes behind STOP")
        }
        let records = try records(graph, archive, folder)
        let finder = ContainerFinder(path: path, graph: graph, places: records.map(\.offset))
        return TorchFile(
            file: file, containers: try finder.containers(), topLevelKeys: finder.topLevelKeys, hasChecksums: archive.hasChecksums,
            checksums: archive.hasChecksums ? records.map(RecordChecksum.init) : [])
    }

    private init(file: InputFile, containers: [TorchContainer], topLevelKeys: [String], hasChecksums: Bool, checksums: [RecordChecksum]) {
        self.file = file
        self.checksums = checksums
        self.topLevelKeys = topLevelKeys
        self.containers = containers
        self.hasChecksums = hasChecksums
    }

    /// The folder that all entries lie in: it has the name that the file had when it was saved, not the one it has now.
    private static func rootFolder(of archive: ZipArchive) throws(TorchFileError) -> String {
        let path = archive.file.path
        for entry in archive.entries where entry.name.hasSuffix("/constants.pkl") || entry.name.contains("/code/") {
            throw .notAStateDict(path: path, found: "a TorchScript archive (\(entry.name.quoted))", advice: "save the state_dict of the model it was made from")
        }
        let pickles = archive.entries.map(\.name).filter { $0.hasSuffix("/data.pkl") }
        guard let name = pickles.first else { throw .missingEntry(path: path, entry: "data.pkl") }
        let folder = String(name.dropLast("/data.pkl".count))
        guard pickles.count == 1, !folder.isEmpty, !folder.contains("/") else {
            throw .archive(
                path: path, part: "directory", expected: "one data.pkl in one folder", found: pickles.prefix(3).map(\.quoted).joined(separator: ", "))
        }
        return folder
    }

    /// Small entries that say how the others are meant; older files do without them.
    private static func checkFormat(_ archive: ZipArchive, _ folder: String) throws(TorchFileError) {
        for (name, expected) in [("byteorder", "little"), (".format_version", "1")] {
            guard let entry = archive.entry("\(folder)/\(name)") else { continue }
            let text = String(decoding: try archive.contents(entry, limit: 64), as: UTF8.self)
            guard text == expected else {
                throw .unsupportedEntry(
                    path: archive.file.path, entry: entry.name, found: "\(text.quoted) where \(expected.quoted) is read",
                    advice: name == "byteorder" ? "save the file on a little-endian machine" : "save the file with an older torch")
            }
        }
    }

    /// The entries of the storages; each has exactly the bytes that the pickle says.
    private static func records(_ graph: PickleGraph, _ archive: ZipArchive, _ folder: String) throws(TorchFileError) -> [ZipEntry] {
        var records: [ZipEntry] = []
        for storage in graph.storages {
            let name = "\(folder)/data/\(storage.key)"
            guard let entry = archive.entry(name) else { throw .missingEntry(path: archive.file.path, entry: name) }
            // Storages without tensors have not been multiplied yet.
            let (count, overflow) = storage.elementCount.multipliedReportingOverflow(by: UInt64(storage.elementByteCount))
            guard !overflow, count == entry.byteCount else {
                throw .tensor(
                    path: archive.file.path, subject: "storage \(storage.key.quoted)", member: "size",
                    expected: "the \(storage.elementCount) elements of \(storage.elementByteCount) bytes that data.pkl says", found: "\(entry.byteCount) bytes")
            }
            records.append(entry)
        }
        return records
    }

    /// The container of that path: "state_dict", or "" for the file's own dictionary.
    package func container(_ path: String) -> TorchContainer? { containers.first { ExactString($0.path) == ExactString(path) } }

    /// Fills the buffer with the bytes `range` of a tensor's elements in row-major order, whatever its strides.
    /// - Precondition: the range lies inside the tensor, begins and ends with an element, and the buffer is as long as the range.
    @unsafe package func read(_ tensor: TorchTensor, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(TorchFileError) {
        let size = UInt64(tensor.dtype.byteCount)
        precondition(range.lowerBound % size == 0 && range.upperBound % size == 0, "\(range) of \(tensor.name) cuts an element")
        let elements = Int(range.lowerBound / size)..<Int(range.upperBound / size)
        unsafe try StridedReader(file: file, base: tensor.storageOffset, view: tensor.view).read(elements, into: buffer)
        guard hasChecksums, tensor.isContiguous else { return }
        let start = UInt64(tensor.view.offset) * size
        unsafe try checksums[tensor.storage].add(start + range.lowerBound..<start + range.upperBound, UnsafeRawBufferPointer(buffer), path: path)
    }

    /// Throws when the file was changed since it was opened: called after the last read.
    package func checkUnchanged() throws(TorchFileError) {
        do { try file.checkUnchanged() } catch { throw .file(error) }
    }
}

extension PickledStorage {
    var elementByteCount: Int {
        switch type {
        case .elements(let type): type.byteCount
        case .untyped: 1
        }
    }
}

package import Files
import StrictJSON
package import Tensors

/// Writes a packed file in one pass: blobs and tensors in any order, a tensor at once or row by row, then `finish`.
///
/// Equal calls give equal bytes on every CPU and for every number of threads, and `appendRows` the same bytes as `append`. Compression and hashing
/// go on while the caller prepares the next rows; the memory needed is that of the rows given, of the planes after the first of one tensor, and
/// `streamByteCount` and `frameByteCount` for each frame at work.
/// After an error, which may come late, the writer is of no more use; the output file then never gets its name.
package final class PackedFileWriter {
    private var directory: Directory
    /// The entries of what is written, which ask for digests.
    private var tensors: [() -> TensorEntry] = []
    private var blobs: [() -> BlobEntry] = []
    private let output: OutputFile
    private let stream: OutputStream
    private let sections: SectionWriter
    /// What is hashed together with the planes: the caller's streams belong here too.
    package let hashing: HashingStreams
    private let allowNonfinite: Bool
    private var open: OpenTensor?
    /// Of the tensors so far: those that the file is read with again.
    private var schemes: Set<Scheme> = []
    private var schemeList: SchemeList { SchemeList(Array(schemes)) }
    /// The header of a file whose content is complete; what is still to come are attachments.
    private var sealed: PackedHeader?

    /// Memory for one frame at work.
    package static let frameByteCount = FrameSlot.byteCount
    /// Memory for what is on its way to the disk.
    package static let streamByteCount = OutputStream.byteCount

    /// What `finish` gives.
    package struct Summary: Sendable, Equatable {
        /// SHA-256 of the directory, and with it of all but the attachments.
        package let contentHash: String
        package let totalByteCount: UInt64
        package let directory: Directory
        /// What the final sync took of the time, with the file's naming.
        package let syncDuration: Duration
    }

    /// - Parameters:
    ///   - output: a new file, at its start.
    ///   - directory: what is known beforehand; its lists of tensors and blobs are empty.
    ///   - allowNonfinite: whether float schemes may hold NaN and infinity.
    ///   - pool: the threads that compress and hash.
    ///   - frames: how many frames may be at work at once; by default enough to keep the threads busy.
    ///   - unhashed: bytes that may wait until they can be hashed side by side with others.
    package init(
        output: OutputFile, directory: Directory, allowNonfinite: Bool = false, pool: WorkPool = WorkPool(), frames: Int? = nil, unhashed: Int = 0
    ) throws(PackedFileError) {
        precondition(output.position == 0 && directory.tensors.isEmpty && directory.blobs.isEmpty)
        self.output = output
        self.directory = directory
        self.allowNonfinite = allowNonfinite
        hashing = HashingStreams(pool, patience: unhashed, room: unhashed)
        stream = OutputStream(output)
        sections = SectionWriter(stream, pool, hashing, slots: frames ?? Self.usualFrames(threads: pool.threads))
        try stream.write([UInt8](repeating: 0, count: PackedHeader.byteCount))
    }

    /// Two frames for each thread, and two that wait to be written.
    package static func usualFrames(threads: Int) -> Int { 2 * threads + 2 }

    /// Adds a small file of the checkpoint, byte for byte.
    package func addBlob(_ name: String, _ bytes: [UInt8]) throws(PackedFileError) {
        try blob(name, bytes) { [self] in blobs.append($0) }
    }

    /// Adds a whole tensor. `planes` are those of its scheme.
    package func append(
        _ tensor: TensorDescription, sources: [SourceRecord] = [], error: QuantizationError? = nil, planes: [EncodedTensor]
    ) throws(PackedFileError) {
        try beginTensor(tensor)
        try appendRows(planes)
        try endTensor(sources: sources, error: error)
    }

    /// Starts a tensor whose rows follow.
    package func beginTensor(_ tensor: TensorDescription) throws(PackedFileError) {
        precondition(open == nil, "the tensor before is not ended")
        if let problem = NameRules.problem(withName: tensor.name) {
            throw .refused(
                .invalidName, subject: "\(output.path): tensor", expected: "1 to \(Limits.nameBytes) bytes without control characters", found: problem)
        }
        guard tensor.shape.rank <= Limits.rank, tensor.shape.elementCount > 0, tensor.shape.elementCount <= Int.max / 8 else {
            throw .refused(.invalidShape, subject: "tensor \(tensor.name)", expected: "1 to \(Limits.rank) extents of at least 1", found: "\(tensor.shape)")
        }
        schemes.insert(tensor.scheme)
        let planes = tensor.scheme.planes(for: tensor.shape)
        sections.begin(elementByteCount: planes[0].dtype.byteCount, .planes(of: planes[0].dtype))
        open = OpenTensor(tensor, planes)
    }

    /// Adds rows: of each plane of the scheme the part for these rows, whose first extent may be any, and each time the same whole planes.
    package func appendRows(_ planes: [EncodedTensor]) throws(PackedFileError) {
        guard var tensor = open else { preconditionFailure("no tensor is begun") }
        open = nil
        try tensor.take(planes)
        try sections.append(planes[0].buffer)
        open = tensor
    }

    /// Ends the tensor, which has all its rows now.
    func endTensor(sources: [SourceRecord] = [], error: QuantizationError? = nil) throws(PackedFileError) {
        try endTensor(error: error) { _ in sources }
    }

    /// Ends the tensor, whose sources are told later: when all is in the file, with the SHA-256 of its first plane.
    package func endTensor(error: QuantizationError?, sources: @escaping (_ firstPlane: String) -> [SourceRecord]) throws(PackedFileError) {
        guard let tensor = open else { preconditionFailure("no tensor is begun") }
        open = nil
        try tensor.checkComplete()
        let nonfinite = try tensor.nonfinite(allowed: allowNonfinite)
        var entries: [() -> PlaneEntry] = []
        for (index, plane) in tensor.planes.enumerated() {
            if index > 0 {
                sections.begin(elementByteCount: plane.dtype.byteCount, .planes(of: plane.dtype))
                for part in tensor.held[index] { try sections.append(part.buffer) }
            }
            try sections.end { [unowned self] section in
                entries.append { PlaneEntry(name: plane.name, dtype: plane.dtype, shape: plane.shape, section: section()) }
                guard entries.count == tensor.planes.count else { return }
                let (description, planes) = (tensor.description, entries)
                tensors.append {
                    let planes = planes.map { $0() }
                    return TensorEntry(
                        description: description, planes: planes, sources: sources(planes[0].section.sha256), error: error, nonfinite: nonfinite)
                }
            }
        }
    }

    /// Completes the content, which can then be read before the file has its name: attachments are computed from it.
    package func seal() throws(PackedFileError) -> PackedFile {
        let header = try writeContent()
        try write(header)
        sealed = header
        return try PackedFile.open(output.readablePath, schemes: schemeList)
    }

    /// Completes the file and gives it its name.
    package func finish(attachments: [(name: String, bytes: [UInt8])] = []) throws(PackedFileError) -> Summary {
        _ = try complete(attachments: attachments)
        return try publish()
    }

    /// Writes directory and header where `seal` has not, and gives the bytes of the file.
    ///
    /// Attachments lie outside the content hash: what floating-point arithmetic computed may differ from one CPU to the next.
    package func complete(attachments: [(name: String, bytes: [UInt8])] = []) throws(PackedFileError) -> UInt64 {
        var header = if let sealed { sealed } else { try writeContent() }
        if !attachments.isEmpty {
            var entries: [() -> BlobEntry] = []
            for (name, bytes) in attachments { try blob(name, bytes) { entries.append($0) } }
            try sections.finish()
            let text = (["attachments": .array(entries.map { $0().json })] as JSONValue).canonicalText
            _ = try DirectoryReader(path: output.path, schemes: schemeList).attachments(text)
            header.attachments = try writeDirectory(text, compressedFlag: .compressedAttachments, &header)
        }
        try write(header)
        sealed = header
        return stream.position
    }

    /// Syncs the complete file and gives it its name.
    package func publish() throws(PackedFileError) -> Summary {
        guard let sealed else { preconditionFailure("the file is not complete") }
        let syncDuration = try wrapping(PackedFileError.file, try output.commit())
        return Summary(
            contentHash: sealed.contentHashDigits, totalByteCount: stream.position, directory: directory, syncDuration: syncDuration)
    }

    /// Writes the directory, and gives the header that goes with it.
    private func writeContent() throws(PackedFileError) -> PackedHeader {
        precondition(open == nil, "the last tensor is not ended")
        try sections.finish()
        directory.blobs = blobs.map { $0() }
        directory.tensors = tensors.map { $0() }
        let text = directory.json.canonicalText
        // The reader knows all the rules about names, counts and sizes; a directory that it refuses is not written.
        guard text.count <= Limits.directoryBytes else {
            throw .refused(.directoryLimit, subject: "\(output.path): directory", expected: "at most \(Limits.directoryBytes) bytes", found: "\(text.count)")
        }
        _ = try DirectoryReader(path: output.path, schemes: schemeList).directory(text)
        var header = PackedHeader()
        header.minor = directory.adapters.isEmpty ? 0 : PackedHeader.minorVersion
        header.directory = try writeDirectory(text, compressedFlag: .compressedDirectory, &header)
        header.contentHash = Hex.bytes(SHA256Stream.digest(text))
        return header
    }

    /// Writes the header, with all that is before it.
    private func write(_ header: PackedHeader) throws(PackedFileError) {
        try stream.flush()
        var header = header
        header.totalByteCount = stream.position
        let bytes = header.bytes
        var failure: FileError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(FileError) { unsafe try output.write(buffer, at: 0) } catch { failure = error }
        }
        if let failure { throw .file(failure) }
    }

    private func blob(_ name: String, _ bytes: [UInt8], _ body: @escaping (_ entry: @escaping () -> BlobEntry) -> Void) throws(PackedFileError) {
        precondition(open == nil, "a tensor is being written")
        if let problem = NameRules.problem(withPath: name) {
            throw .refused(.invalidName, subject: "\(output.path): blob", expected: "a relative path of plain names", found: problem)
        }
        sections.begin(elementByteCount: 1, .text)
        let buffer = try wrapping(PackedFileError.machine, try Buffer(byteCount: bytes.count, zeroed: false))
        unsafe buffer.mutableBytes.copyBytes(from: bytes)
        try sections.append(buffer)
        try sections.end { section in body { BlobEntry(name: name, section: section()) } }
    }

    /// Appends a directory, compressed where it is large and that makes it smaller, and gives its place.
    private func writeDirectory(
        _ text: [UInt8], compressedFlag: PackedHeader.MustUnderstand, _ header: inout PackedHeader
    ) throws(PackedFileError) -> PackedHeader.DirectoryLocation {
        var stored = text
        if text.count > Limits.plainDirectoryBytes {
            let compressed = try wrapping(PackedFileError.machine, try Zstd.compressed(text))
            if compressed.count < text.count {
                stored = compressed
                header.mustUnderstand.insert(compressedFlag)
            }
        }
        try stream.pad(to: Limits.alignment)
        let offset = stream.position
        try stream.write(stored)
        return PackedHeader.DirectoryLocation(
            offset: offset, storedByteCount: UInt32(stored.count), contentByteCount: UInt32(text.count), checksum: XXH3.hash(stored))
    }
}

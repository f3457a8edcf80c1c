package import Files
import StrictJSON
package import Tensors

/// Writes a packed file in one pass: blobs and tensors in any order, a tensor at once or row by row, then `finish`.
///
/// Equal calls give equal bytes on every CPU and for every number of threads, and `appendRows` the same bytes as `append`. The memory
/// needed is that of the rows given, of the planes after the first of one tensor, and of some 50 MB for frames at work.
/// After an error the writer is of no more use; the output file then never gets its name.
package final class PackedFileWriter {
    package private(set) var directory: Directory
    private let output: OutputFile
    private let sections: SectionWriter
    private let allowNonfinite: Bool
    private var open: OpenTensor?
    /// The header of a file whose content is complete; what is still to come are attachments.
    private var sealed: PackedHeader?

    /// What `finish` gives.
    package struct Summary: Sendable, Equatable {
        /// SHA-256 of the directory, and with it of all but the attachments.
        package let contentHash: String
        package let totalByteCount: UInt64
        package let directory: Directory
    }

    /// - Parameters:
    ///   - output: a new file, at its start.
    ///   - directory: what is known beforehand; its lists of tensors and blobs are empty.
    ///   - allowNonfinite: whether float schemes may hold NaN and infinity.
    package init(output: OutputFile, directory: Directory, allowNonfinite: Bool = false) throws(PackedFileError) {
        precondition(output.position == 0 && directory.tensors.isEmpty && directory.blobs.isEmpty)
        self.output = output
        self.directory = directory
        self.allowNonfinite = allowNonfinite
        do throws(AllocationError) { sections = try SectionWriter(output) } catch { throw .memory(error) }
        do throws(FileError) { try output.write([UInt8](repeating: 0, count: PackedHeader.byteCount)) } catch { throw .file(error) }
    }

    /// Adds a small file of the checkpoint, byte for byte.
    package func addBlob(_ name: String, _ bytes: [UInt8]) throws(PackedFileError) {
        directory.blobs.append(try blob(name, bytes))
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
        precondition(TensorDescription.layouts.contains(tensor.layout), "unknown layout \(tensor.layout)")
        precondition(tensor.activations.map(TensorDescription.knownActivations.contains) ?? true, "unknown activations")
        let planes = tensor.scheme.planes(for: tensor.shape)
        try sections.begin(elementByteCount: planes[0].dtype.byteCount)
        open = OpenTensor(tensor, planes)
    }

    /// Adds rows: of each plane of the scheme the part for these rows, whose first extent may be any.
    package func appendRows(_ planes: [EncodedTensor]) throws(PackedFileError) {
        guard var tensor = open else { preconditionFailure("no tensor is begun") }
        open = nil
        try tensor.take(planes)
        unsafe try sections.append(planes[0].bytes)
        open = tensor
    }

    /// Ends the tensor, which has all its rows now.
    package func endTensor(sources: [SourceRecord] = [], error: QuantizationError? = nil) throws(PackedFileError) {
        guard let tensor = open else { preconditionFailure("no tensor is begun") }
        open = nil
        try tensor.checkComplete()
        var planes: [PlaneEntry] = []
        for (index, plane) in tensor.planes.enumerated() {
            if index > 0 {
                try sections.begin(elementByteCount: plane.dtype.byteCount)
                for part in tensor.held[index] { unsafe try sections.append(part.bytes) }
            }
            planes.append(PlaneEntry(name: plane.name, dtype: plane.dtype, shape: plane.shape, section: try sections.end()))
        }
        let entry = TensorEntry(
            description: tensor.description, planes: planes, sources: sources, error: error, nonfinite: try tensor.nonfinite(allowed: allowNonfinite))
        directory.tensors.append(entry)
    }

    /// Completes the content, which can then be read before the file has its name: attachments are computed from it.
    package func seal() throws(PackedFileError) -> PackedFile {
        let header = try writeContent()
        try write(header)
        sealed = header
        return try PackedFile.open(output.readablePath)
    }

    /// Writes directory and header where `seal` has not, syncs the file and gives it its name.
    ///
    /// Attachments lie outside the content hash: what floating-point arithmetic computed may differ from one CPU to the next.
    package func finish(attachments: [(name: String, bytes: [UInt8])] = []) throws(PackedFileError) -> Summary {
        var header = if let sealed { sealed } else { try writeContent() }
        if !attachments.isEmpty {
            var entries: [BlobEntry] = []
            for (name, bytes) in attachments { entries.append(try blob(name, bytes)) }
            let text = (["attachments": .array(entries.map(\.json))] as JSONValue).canonicalText
            _ = try DirectoryReader(path: output.path).attachments(text)
            header.attachments = try writeDirectory(text, compressedFlag: .compressedAttachments, &header)
        }
        try write(header)
        do throws(FileError) { try output.commit() } catch { throw .file(error) }
        return Summary(contentHash: header.contentHashDigits, totalByteCount: output.position, directory: directory)
    }

    /// Writes the directory, and gives the header that goes with it.
    private func writeContent() throws(PackedFileError) -> PackedHeader {
        precondition(open == nil, "the last tensor is not ended")
        let text = directory.json.canonicalText
        // The reader knows all the rules about names, counts and sizes; a directory that it refuses is not written.
        guard text.count <= Limits.directoryBytes else {
            throw .refused(.directoryLimit, subject: "\(output.path): directory", expected: "at most \(Limits.directoryBytes) bytes", found: "\(text.count)")
        }
        _ = try DirectoryReader(path: output.path).directory(text)
        var header = PackedHeader()
        header.directory = try writeDirectory(text, compressedFlag: .compressedDirectory, &header)
        header.contentHash = Hex.bytes(SHA256Stream.digest(text))
        return header
    }

    private func write(_ header: PackedHeader) throws(PackedFileError) {
        var header = header
        header.totalByteCount = output.position
        let bytes = header.bytes
        var failure: FileError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(FileError) { unsafe try output.write(buffer, at: 0) } catch { failure = error }
        }
        if let failure { throw .file(failure) }
    }

    private func blob(_ name: String, _ bytes: [UInt8]) throws(PackedFileError) -> BlobEntry {
        precondition(open == nil, "a tensor is being written")
        if let problem = NameRules.problem(withPath: name) {
            throw .refused(.invalidName, subject: "\(output.path): blob", expected: "a relative path of plain names", found: problem)
        }
        try sections.begin(elementByteCount: 1)
        var failure: PackedFileError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(PackedFileError) { unsafe try sections.append(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        return BlobEntry(name: name, section: try sections.end())
    }

    /// Appends a directory, compressed where it is large and that makes it smaller, and gives its place.
    private func writeDirectory(
        _ text: [UInt8], compressedFlag: PackedHeader.MustUnderstand, _ header: inout PackedHeader
    ) throws(PackedFileError) -> PackedHeader.DirectoryLocation {
        var stored = text
        if text.count > Limits.plainDirectoryBytes {
            let compressed: [UInt8]
            do throws(AllocationError) { compressed = try Zstd.compressed(text) } catch { throw .memory(error) }
            if compressed.count < text.count {
                stored = compressed
                header.mustUnderstand.insert(compressedFlag)
            }
        }
        do throws(FileError) {
            try output.pad(to: Limits.alignment)
            let offset = output.position
            try output.write(stored)
            return PackedHeader.DirectoryLocation(
                offset: offset, storedByteCount: UInt32(stored.count), contentByteCount: UInt32(text.count), checksum: XXH3.hash(stored))
        } catch { throw .file(error) }
    }
}

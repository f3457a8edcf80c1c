package import Files
import StrictJSON
package import Tensors

/// A packed file opened for reading.
///
/// Opening checks header and directory completely, and that they account for every byte of the file; no plane is read.
package final class PackedFile: Sendable {
    package let path: String
    /// The schemes that its tensors may have.
    package let schemes: SchemeList
    package let header: PackedHeader
    package let directory: Directory
    /// Files outside the content hash.
    package let attachments: [BlobEntry]
    /// SHA-256 of the directory, and with it of all content but the attachments.
    package let contentHash: String
    package var identity: FileIdentity { file.identity }

    let file: InputFile
    /// The ranges between sections, which hold zeros.
    let padding: [Range<UInt64>]
    let reader: SectionReader
    private let tensors: [ExactString: Int]

    /// Opens a file and checks it as Formats/packed.md, "Order of validation", prescribes.
    package static func open(_ path: String, schemes: SchemeList = .builtIn) throws(PackedFileError) -> PackedFile {
        try PackedFile(path: path, schemes: schemes)
    }

    private init(path: String, schemes: SchemeList) throws(PackedFileError) {
        file = try wrapping(PackedFileError.file, try InputFile(path: path))
        (self.path, self.schemes) = (path, schemes)
        self.reader = SectionReader(file)
        let first = try Self.bytes(file, at: 0, count: Int(min(file.size, UInt64(PackedHeader.byteCount))))
        header = try PackedHeader(first, fileByteCount: file.size, path: path)
        let reader = DirectoryReader(path: path, schemes: schemes)
        let text = try Self.text(header.directory, isCompressed: header.mustUnderstand.contains(.compressedDirectory), "directory", file)
        contentHash = SHA256Stream.digest(text)
        guard contentHash == header.contentHashDigits else {
            throw .refused(.contentHash, subject: "\(path): directory", expected: header.contentHashDigits, found: contentHash)
        }
        directory = try reader.directory(text)
        var map = SectionMap(totalByteCount: file.size, path: path)
        try map.add("directory", offset: header.directory.offset, byteCount: UInt64(header.directory.storedByteCount))
        if header.attachments.isAbsent {
            attachments = []
        } else {
            let isCompressed = header.mustUnderstand.contains(.compressedAttachments)
            attachments = try reader.attachments(try Self.text(header.attachments, isCompressed: isCompressed, "attachment directory", file))
            try map.add("attachment directory", offset: header.attachments.offset, byteCount: UInt64(header.attachments.storedByteCount))
        }
        for blob in directory.blobs { try map.add("blob \(blob.name)", blob.section) }
        for blob in attachments { try map.add("attachment \(blob.name)", blob.section) }
        for tensor in directory.tensors {
            for plane in tensor.planes { try map.add("tensor \(tensor.name), plane \(plane.name)", plane.section) }
        }
        padding = try map.padding()
        tensors = Dictionary(uniqueKeysWithValues: directory.tensors.enumerated().map { (ExactString($1.name), $0) })
    }

    /// The entry of a tensor, by the bytes of its name.
    package func entry(_ name: String) -> TensorEntry? { tensors[ExactString(name)].map { directory.tensors[$0] } }

    /// The planes of a tensor of this file, decoded from their codecs; each frame is checked against its checksum first.
    package func planes(of entry: TensorEntry) throws(PackedFileError) -> [EncodedTensor] {
        guard let own = self.entry(entry.name), own == entry else {
            throw .refused(.noSuchTensor, subject: path, expected: "the tensor \(entry.name)", found: "none like it")
        }
        var planes: [EncodedTensor] = []
        for plane in own.planes { planes.append(try whole(plane, of: own)) }
        return planes
    }

    private func whole(_ plane: PlaneEntry, of entry: TensorEntry) throws(PackedFileError) -> EncodedTensor {
        let encoded = try wrapping(PackedFileError.machine, try EncodedTensor(dtype: plane.dtype, shape: plane.shape))
        unsafe try read(plane.section, "tensor \(entry.name), plane \(plane.name)", into: encoded.buffer.mutableBytes)
        return encoded
    }

    /// The planes of a tensor that all its rows have in common.
    package func wholePlanes(of entry: TensorEntry) throws(PackedFileError) -> [EncodedTensor] {
        var planes: [EncodedTensor] = []
        for (plane, specification) in zip(entry.planes, entry.scheme.planes(for: entry.shape)) where specification.extent == .whole {
            planes.append(try whole(plane, of: entry))
        }
        return planes
    }

    /// The planes of some rows of a tensor of this file, those rows alone: what `planes` gives with the others left out. Planes that all rows
    /// have in common are read whole.
    ///
    /// Only frames that hold some of them are read; each of them takes a frame of memory for each thread, whatever the tensor's size.
    /// - Parameter rows: indices of the first axis, ascending, each once.
    package func planes(of entry: TensorEntry, rows: some RandomAccessCollection<Int>) throws(PackedFileError) -> [EncodedTensor] {
        guard let own = self.entry(entry.name), own == entry else {
            throw .refused(.noSuchTensor, subject: path, expected: "the tensor \(entry.name)", found: "none like it")
        }
        precondition(zip(rows, rows.dropFirst()).allSatisfy(<) && (rows.first ?? 0) >= 0 && (rows.last ?? -1) < entry.shape.rows, "no rows of \(entry.name)")
        var planes: [EncodedTensor] = []
        for (plane, specification) in zip(own.planes, own.scheme.planes(for: own.shape)) {
            guard specification.extent == .rows else {
                planes.append(try whole(plane, of: own))
                continue
            }
            let encoded = try wrapping(
                PackedFileError.machine, try EncodedTensor(dtype: plane.dtype, shape: Shape([rows.count] + plane.shape.extents.dropFirst())))
            let rowByteCount = plane.shape.columns * plane.dtype.byteCount
            var parts: [(content: Range<Int>, target: Int)] = []
            for (position, row) in rows.enumerated() {
                let content = row * rowByteCount..<(row + 1) * rowByteCount
                if let last = parts.last, last.content.upperBound == content.lowerBound {
                    parts[parts.count - 1].content = last.content.lowerBound..<content.upperBound
                } else {
                    parts.append((content, position * rowByteCount))
                }
            }
            unsafe try reader.read(
                plane.section, parts: parts, subject: "tensor \(entry.name), plane \(plane.name)", into: encoded.buffer.mutableBytes)
            planes.append(encoded)
        }
        return planes
    }

    /// What each thread takes for the frames it reads, and keeps.
    package static var readingBytes: Int { Parallel.threads * FrameDecoder.byteCount }

    /// The content of a small file of the checkpoint: "transformer/config.json".
    package func blob(_ name: String) throws(PackedFileError) -> [UInt8] { try bytes(of: name, in: directory.blobs, "blob") }

    package func attachment(_ name: String) throws(PackedFileError) -> [UInt8] { try bytes(of: name, in: attachments, "attachment") }

    private func bytes(of name: String, in entries: [BlobEntry], _ kind: String) throws(PackedFileError) -> [UInt8] {
        guard let entry = entries.first(where: { ExactString($0.name) == ExactString(name) }) else {
            throw .refused(.noSuchBlob, subject: path, expected: "the \(kind) \(name)", found: "none of this name")
        }
        let buffer = try wrapping(PackedFileError.machine, try Buffer(byteCount: Int(entry.section.contentByteCount), zeroed: false))
        unsafe try read(entry.section, "\(kind) \(name)", into: buffer.mutableBytes)
        return unsafe Array(buffer.bytes)
    }

    @unsafe private func read(_ section: Section, _ subject: String, into target: UnsafeMutableRawBufferPointer) throws(PackedFileError) {
        let all = 0..<section.frames.count
        let failures = unsafe reader.read(section, frames: all, at: section.offset, subject: subject, into: target)
        if let first = failures.first { throw first.error }
    }

    private static func bytes(_ file: InputFile, at offset: UInt64, count: Int) throws(PackedFileError) -> [UInt8] {
        return try wrapping(PackedFileError.file, try file.bytes(at: offset, count: count))
    }

    /// The text of a directory whose lengths the header's check has bounded.
    private static func text(
        _ location: PackedHeader.DirectoryLocation, isCompressed: Bool, _ subject: String, _ file: InputFile
    ) throws(PackedFileError) -> [UInt8] {
        let (end, overflow) = location.offset.addingReportingOverflow(UInt64(location.storedByteCount))
        guard !overflow, end <= file.size else {
            throw .refused(
                .sectionPlacement, subject: "\(file.path): \(subject)", expected: "a section within the \(file.size) bytes of the file",
                found: "\(location.storedByteCount) bytes at \(location.offset)")
        }
        let stored = try bytes(file, at: location.offset, count: Int(location.storedByteCount))
        let checksum = XXH3.hash(stored)
        guard checksum == location.checksum else {
            throw .refused(.directoryChecksum, subject: "\(file.path): \(subject)", expected: Hex.digits(location.checksum), found: Hex.digits(checksum))
        }
        guard isCompressed else { return stored }
        let result = try wrapping(PackedFileError.machine, try Zstd.decompressed(stored, count: Int(location.contentByteCount)))
        switch result {
        case .success(let text): return text
        case .failure(let problem):
            throw .refused(.directoryCompression, subject: "\(file.path): \(subject)", expected: problem.expected, found: problem.found)
        }
    }
}

extension SectionMap {
    fileprivate mutating func add(_ subject: String, _ section: Section) throws(PackedFileError) {
        try add(subject, offset: section.offset, byteCount: section.storedByteCount)
    }
}

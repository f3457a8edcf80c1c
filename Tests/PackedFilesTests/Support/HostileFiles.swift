import Files
import StrictJSON
import TestKit

@testable import PackedFiles

/// For each failure that a file can cause, the smallest change of a good file that causes it.
enum HostileFiles {
    /// What `Samples.mixed` makes.
    static func base() throws -> Surgeon {
        let folder = try TemporaryFolder()
        let path = folder.file("base.sprint")
        try Samples.write(Samples.mixed(), to: path)
        return Surgeon(try contents(path))
    }

    /// The failures that come from an argument of a call, not from a file.
    static let notFromFiles: Set<PackedFileFailure> = [.noSuchTensor, .noSuchBlob, .outOfRange, .nonfinite]

    static func file(for failure: PackedFileFailure) throws -> [UInt8] {
        let base = try base()
        switch failure {
        case .notPackedFile: return changed(base.bytes, at: 0, to: 0x88)
        case .unsupportedVersion: return base.header(2, at: 8, count: 2)
        case .headerChecksum: return changed(base.bytes, at: 24, to: base.bytes[24] ^ 1)
        case .headerField: return base.header(192, at: 20, count: 4)
        case .unknownFlags: return base.header(0x10, at: 12, count: 4)
        case .fileLength: return base.bytes + [0]
        case .directoryLimit: return base.header(UInt64(Limits.directoryBytes) + 1, at: 44, count: 4)
        case .directoryChecksum: return changed(base.bytes, at: base.bytes.count - 3, to: 0x20)
        case .directoryCompression:
            var copy = base
            copy.set(1, at: 12, count: 4)
            return copy.header(base.number(at: 44, count: 4) + 1, at: 44, count: 4)
        case .contentHash: return base.header(UInt64(base.bytes[80] ^ 1), at: 80, count: 1)
        case .directorySyntax: return base.directory(Array(#"{"blobs":[],"blobs":[]}"#.utf8))
        case .directoryNotCanonical: return base.directory(base.directoryText + [0x20])
        case .directoryMember: return try base.member("tool", nil)
        case .unknownScheme: return try base.member("tensors/0/scheme", "int4-group-64")
        case .unknownCodec: return try base.member("tensors/0/planes/0/codec", "lz4")
        case .unknownDType: return try base.member("tensors/0/planes/0/dtype", "F4")
        case .unknownLayout: return try base.member("tensors/0/layout", "swizzled")
        case .unknownActivations: return try base.member("tensors/0/activations", "fp8")
        case .unknownComponent: return try base.member("tensors/0/component", "unet")
        case .countLimit: return try base.member("tensors/0/planes", .array(Array(repeating: 0, count: 17)))
        case .invalidName: return try base.member("blobs/0/name", "../config.json")
        case .duplicateName: return try base.member("tensors/1/name", "linear.weight")
        case .invalidShape: return try base.member("tensors/0/shape", [1_099_511_627_776, 1_099_511_627_776])
        case .planeMismatch: return try base.member("tensors/0/planes/1/shape", [3])
        case .codecMismatch: return try base.member("tensors/0/planes/0/codec", "zstd-split16")
        case .frameSizes: return try base.member("tensors/0/planes/0/frames/0", [9, 9, "0000000000000000"])
        case .sectionPlacement: return try base.member("tensors/1/planes/0/offset", try base.directory().value(at: "tensors/0/planes/0/offset"))
        case .frameChecksum: return changed(base.bytes, at: Int(try offset(base, tensor: 0, plane: 0)) + 2, to: 0)
        // The frame's last byte belongs to its block; the magic number stays.
        case .frameContent: return try base.content(tensor: 2, plane: 0, at: 4, [0xFF], rehash: false)
        case .planeHash: return try base.content(tensor: 0, plane: 0, at: 0, [7], rehash: false)
        case .planeValues: return try base.content(tensor: 0, plane: 0, at: 0, [0x80], rehash: true)
        case .padding: return changed(base.bytes, at: Int(try offset(base, tensor: 0, plane: 0)) + 8, to: 1)
        case .noSuchTensor, .noSuchBlob, .outOfRange, .nonfinite: return base.bytes
        }
    }

    private static func changed(_ bytes: [UInt8], at index: Int, to value: UInt8) -> [UInt8] {
        var bytes = bytes
        bytes[index] = value
        return bytes
    }

    private static func offset(_ base: Surgeon, tensor: Int, plane: Int) throws -> Int64 {
        let path = "tensors/\(tensor)/planes/\(plane)/offset"
        guard let offset = try base.directory().value(at: path)?.integer else { throw SurgeryError.noSuchMember(path) }
        return offset
    }

    /// What opening and verifying a file finds first; nil for a good file.
    static func failure(of path: String) -> PackedFileFailure? {
        do {
            return try PackedFile.open(path).verifyIntegrity().first?.error.failure
        } catch { return (error as PackedFileError).failure }
    }
}

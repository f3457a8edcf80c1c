package import Files
package import Tensors

/// Why a packed file could not be read or written.
package enum PackedFileError: Error, Sendable, Equatable, CustomStringConvertible {
    case file(FileError)
    case machine(MachineError)
    /// Something is not as Formats/packed.md wants it. `subject` names the file and the tensor, plane and frame in it.
    case refused(PackedFileFailure, subject: String, expected: String, found: String)

    package var description: String {
        switch self {
        case .file(let error): "\(error)"
        case .machine(let error): "\(error)"
        case .refused(let failure, let subject, let expected, let found):
            "\(subject): expected \(expected), found \(found) [\(failure.rawValue)]; \(failure.hint)"
        }
    }

    /// The failure's name in Formats/packed.md; nil for what the system refused.
    package var failure: PackedFileFailure? {
        if case .refused(let failure, _, _, _) = self { failure } else { nil }
    }
}

/// The failures of Formats/packed.md by their names there, in the order in which a reader looks for them.
package enum PackedFileFailure: String, Sendable, CaseIterable {
    // The header.
    case notPackedFile = "not-a-packed-file"
    case unsupportedVersion = "unsupported-version"
    case headerChecksum = "header-checksum"
    case headerField = "header-field"
    case unknownFlags = "unknown-flags"
    case fileLength = "file-length"
    // The directory.
    case directoryLimit = "directory-limit"
    case directoryChecksum = "directory-checksum"
    case directoryCompression = "directory-compression"
    case contentHash = "content-hash"
    case directorySyntax = "directory-syntax"
    case directoryNotCanonical = "directory-not-canonical"
    case directoryMember = "directory-member"
    case unknownScheme = "unknown-scheme"
    case unknownCodec = "unknown-codec"
    case unknownDType = "unknown-dtype"
    case unknownLayout = "unknown-layout"
    case unknownActivations = "unknown-activations"
    case unknownComponent = "unknown-component"
    case countLimit = "count-limit"
    case invalidName = "invalid-name"
    case duplicateName = "duplicate-name"
    case invalidShape = "invalid-shape"
    case planeMismatch = "plane-mismatch"
    case codecMismatch = "codec-mismatch"
    case frameSizes = "frame-sizes"
    case sectionPlacement = "section-placement"
    // The content.
    case frameChecksum = "frame-checksum"
    case frameContent = "frame-content"
    case planeHash = "plane-hash"
    case planeValues = "plane-values"
    case padding = "padding"
    // What is asked of a file, or put into it.
    case noSuchTensor = "no-such-tensor"
    case noSuchBlob = "no-such-blob"
    case outOfRange = "out-of-range"
    case nonfinite = "nonfinite"

    /// What to do next.
    var hint: String {
        switch self {
        case .notPackedFile: "pass a .sprint file, or make one with `sprintpack convert`"
        case .unsupportedVersion, .unknownFlags, .unknownScheme, .unknownCodec, .unknownDType, .unknownLayout, .unknownActivations:
            "a newer sprintpack wrote the file, or it is damaged; use that version or convert again"
        case .fileLength: "the file was cut short or appended to; fetch or convert it again"
        case .headerChecksum, .directoryChecksum, .contentHash, .frameChecksum, .planeHash, .planeValues, .padding:
            "the file is damaged; fetch or convert it again"
        case .headerField, .directoryLimit, .directoryCompression, .directorySyntax, .directoryNotCanonical, .directoryMember, .unknownComponent,
            .countLimit, .invalidName, .duplicateName, .invalidShape, .planeMismatch, .codecMismatch, .frameSizes, .sectionPlacement, .frameContent:
            "the program that wrote the file does not follow Formats/packed.md"
        case .noSuchTensor, .noSuchBlob: "`sprintpack inspect --tensors` lists what the file holds"
        case .outOfRange: "keep this tensor in bf16 or f32 by a rule"
        case .nonfinite: "repair the checkpoint, or pass --allow-nonfinite to keep the value in a float scheme"
        }
    }
}

/// What the first bytes of a file look like, for files that are not what their name says.
package enum FileKind: Sendable, Equatable {
    case zip, pickle, gguf, webPage, lfsPointer, json, gzip, numpy, hdf5, zeros

    /// How many bytes `init(prefix:)` wants to see.
    package static let prefixByteCount = 64

    /// Recognises the start of a file; nil where it looks like nothing known.
    package init?(prefix: [UInt8]) {
        let signatures: [([UInt8], FileKind)] = [
            (Array("PK".utf8) + [0x03, 0x04], .zip),
            (Array("GGUF".utf8), .gguf),
            (Array("version https://git-lfs".utf8), .lfsPointer),
            ([0x1F, 0x8B], .gzip),
            ([0x93] + Array("NUMPY".utf8), .numpy),
            ([0x89] + Array("HDF".utf8), .hdf5),
        ]
        if let (_, kind) = signatures.first(where: { prefix.starts(with: $0.0) }) {
            self = kind
            return
        }
        // PROTO, a protocol from 2 to 5.
        if prefix.count >= 2, prefix[0] == 0x80, (2...5).contains(prefix[1]) {
            self = .pickle
            return
        }
        if prefix.count >= 8, prefix.allSatisfy({ $0 == 0 }) {
            self = .zeros
            return
        }
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let text = (prefix.starts(with: byteOrderMark) ? prefix.dropFirst(3) : prefix[...]).drop { $0 == 0x20 || (0x09...0x0D).contains($0) }
        switch text.first {
        case UInt8(ascii: "<"): self = .webPage
        case UInt8(ascii: "{"), UInt8(ascii: "["): self = .json
        default: return nil
        }
    }

    /// What it is, and what to do about it when safetensors were expected.
    var advice: String {
        switch self {
        case .zip:
            "a zip archive, as torch.save writes (.pth, .bin, .ckpt); give a transformer's or autoencoder's with --transformer or --vae, or convert it to safetensors first"
        case .pickle: "a Python pickle, which can run any code when loaded; convert it to safetensors first"
        case .gguf: "a GGUF file; give the original safetensors checkpoint"
        case .webPage: "a web page; the download was answered with an error or a login page, fetch the file again"
        case .lfsPointer: "a Git LFS pointer, not the file itself; run \"git lfs pull\" in the checkpoint's folder"
        case .json: "JSON text; give the safetensors file, or the checkpoint's folder where this is its index"
        case .gzip: "a gzip archive; unpack it first"
        case .numpy: "a NumPy array; convert it to safetensors first"
        case .hdf5: "an HDF5 file; convert it to safetensors first"
        case .zeros: "only zeros; the download was not completed, fetch the file again"
        }
    }
}

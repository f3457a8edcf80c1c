import Files
import Glibc
import StrictJSON
import TestKit

/// A safetensors file put together from parts that need not fit each other.
struct RawFile {
    /// The text of the header, as it stands in the file.
    var header: String
    var dataByteCount: Int
    /// What the first eight bytes say; the header's true length where nil.
    var declaredLength: UInt64?

    init(_ header: String, data dataByteCount: Int = 0, declaredLength: UInt64? = nil) {
        self.header = header
        self.dataByteCount = dataByteCount
        self.declaredLength = declaredLength
    }

    var bytes: [UInt8] {
        let text = Array(header.utf8)
        let length = declaredLength ?? UInt64(text.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + text + (0..<dataByteCount).map { UInt8(truncatingIfNeeded: $0) }
    }

    /// Offset of the first tensor's bytes.
    var dataOffset: UInt64 { 8 + UInt64(header.utf8.count) }
}

extension TemporaryFolder {
    /// Writes a file and gives its path.
    func write(_ bytes: [UInt8], _ name: String = "file.safetensors") throws -> String { try put(bytes, name) }
}

/// Cuts a file in place, as something else that writes to it would.
func shrink(_ path: String, to count: Int) throws {
    guard unsafe truncate(path, count) == 0 else { throw FileError.system(operation: "truncate", path: path, code: errno) }
}

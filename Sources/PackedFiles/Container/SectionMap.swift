/// The places of all sections of a file, which have to cover it without overlap and without holes.
///
/// The one layout that v1 allows: each section starts at the first multiple of 64 after the end of the one before, the first of them
/// after the header, and the last ends with the file. So every byte is the header's, a section's, or padding.
struct SectionMap {
    private struct Place {
        let subject: String
        let offset: UInt64
        let byteCount: UInt64
        var end: UInt64 { offset + byteCount }
    }

    private var places: [Place] = []
    private let totalByteCount: UInt64
    private let path: String

    init(totalByteCount: UInt64, path: String) {
        self.totalByteCount = totalByteCount
        self.path = path
    }

    /// Adds a section, which has to lie within the file.
    mutating func add(_ subject: String, offset: UInt64, byteCount: UInt64) throws(PackedFileError) {
        let (end, overflow) = offset.addingReportingOverflow(byteCount)
        guard !overflow, end <= totalByteCount else {
            throw refused(subject, "a section within the \(totalByteCount) bytes of the file", "\(byteCount) bytes at \(offset)")
        }
        places.append(Place(subject: subject, offset: offset, byteCount: byteCount))
    }

    /// Checks the tiling and gives the ranges of padding.
    func padding() throws(PackedFileError) -> [Range<UInt64>] {
        var end = UInt64(PackedHeader.byteCount)
        var padding: [Range<UInt64>] = []
        for place in places.sorted(by: { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }) {
            // No overflow: `end` is at most the length of a file, which is below 2^63.
            let start = (end + Limits.alignment - 1) / Limits.alignment * Limits.alignment
            guard place.offset == start else { throw refused(place.subject, "a section at \(start), behind the one before", "\(place.offset)") }
            if start > end { padding.append(end..<start) }
            end = place.end
        }
        guard end == totalByteCount else { throw refused("file", "the end of the last section at \(totalByteCount)", "\(end)") }
        return padding
    }

    private func refused(_ subject: String, _ expected: String, _ found: String) -> PackedFileError {
        .refused(.sectionPlacement, subject: "\(path): \(subject)", expected: expected, found: found)
    }
}

import Files
import StrictJSON
import Tensors

/// Reads and validates the header of one file; Formats/checkpoint.md is the list of what it enforces.
struct HeaderParser {
    let file: InputFile
    let limits: SafetensorsHeader.Limits
    private var path: String { file.path }

    init(file: InputFile, limits: SafetensorsHeader.Limits) {
        self.file = file
        self.limits = limits
    }

    func parse() throws(SafetensorsError) -> SafetensorsHeader {
        let text = try headerText()
        let members = try objectMembers(text)
        let dataOffset = 8 + UInt64(text.count)
        var metadata: [(key: String, value: String)] = []
        var entries: [SafetensorsHeader.Entry] = []
        entries.reserveCapacity(members.count)
        for (name, value) in members {
            if ExactString(name) == Self.metadataKey {
                metadata = try pairs(value)
            } else {
                entries.append(try entry(name, value, dataOffset: dataOffset))
            }
        }
        // Several empty tensors can share an offset: those come before the tensor with bytes, in the order of the header.
        let order = entries.indices.sorted {
            (entries[$0].offset, entries[$0].byteCount, $0) < (entries[$1].offset, entries[$1].byteCount, $1)
        }
        entries = order.map { entries[$0] }
        try checkCover(entries, from: dataOffset)
        return SafetensorsHeader(entries: entries, metadata: metadata, dataOffset: dataOffset)
    }

    private static let metadataKey = ExactString("__metadata__")

    /// The bytes of the header, once its length and first byte are plausible.
    private func headerText() throws(SafetensorsError) -> [UInt8] {
        let prefix = try bytes(at: 0, count: Int(min(file.size, UInt64(FileKind.prefixByteCount))))
        /// A file that is something else altogether says so, rather than speaking of headers.
        func failure(_ error: SafetensorsError) -> SafetensorsError {
            FileKind(prefix: prefix).map { .looksLike(path: path, $0) } ?? error
        }
        guard prefix.count >= 10 else { throw failure(.tooShort(path: path, found: file.size)) }
        let count = prefix[..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        guard count <= file.size - 8 else { throw failure(.headerBeyondFile(path: path, headerByteCount: count, found: file.size)) }
        guard count <= limits.headerByteCount else { throw failure(.headerTooLarge(path: path, limit: limits.headerByteCount, found: count)) }
        guard count > 0, prefix[8] == UInt8(ascii: "{") else { throw failure(.notAnObject(path: path)) }
        return try bytes(at: 8, count: Int(count))
    }

    private func bytes(at offset: UInt64, count: Int) throws(SafetensorsError) -> [UInt8] {
        do { return try file.bytes(at: offset, count: count) } catch { throw .file(error) }
    }

    private func objectMembers(_ text: [UInt8]) throws(SafetensorsError) -> [(key: String, value: JSONValue)] {
        let value: JSONValue
        do {
            // Entry, dtype, shape with its extents, offsets with theirs: no tensor has more values than this.
            value = try JSONValue.parse(text, maximumDepth: 4, maximumValues: limits.tensorCount * (limits.rank + 6))
        } catch { throw .header(path: path, error) }
        guard let object = value.object else { throw .notAnObject(path: path) }
        let tensorCount = object.count - (object["__metadata__"] == nil ? 0 : 1)
        guard tensorCount <= limits.tensorCount else { throw .tooManyTensors(path: path, limit: limits.tensorCount) }
        return object.members
    }

    private func pairs(_ value: JSONValue) throws(SafetensorsError) -> [(key: String, value: String)] {
        // How some writers say that there are none.
        if value.isNull { return [] }
        guard let object = value.object else { throw .metadata(path: path, key: nil, found: value.kind) }
        var result: [(key: String, value: String)] = []
        for (key, value) in object.members {
            guard let string = value.string else { throw .metadata(path: path, key: key, found: value.kind) }
            result.append((key, string))
        }
        return result
    }

    private func entry(_ name: String, _ value: JSONValue, dataOffset: UInt64) throws(SafetensorsError) -> SafetensorsHeader.Entry {
        guard (1...limits.nameByteCount).contains(name.utf8.count) else { throw .name(path: path, tensor: name, limit: limits.nameByteCount) }
        func failure(_ member: String, _ expected: String, _ found: String) -> SafetensorsError {
            .member(path: path, tensor: name, member: member, expected: expected, found: found)
        }
        guard let object = value.object else { throw failure("entry", "an object", value.kind) }
        for key in object.keys where !["dtype", "shape", "data_offsets"].contains(where: { ExactString($0) == ExactString(key) }) {
            throw failure("entry", "dtype, shape and data_offsets", key.quoted)
        }
        guard let word = object["dtype"]?.string else { throw failure("dtype", "a string", object["dtype"]?.kind ?? "nothing") }
        guard let dtype = DType(rawValue: word) else { throw .unsupportedType(path: path, tensor: name, found: word) }

        let extents = try integers(object["shape"]) { failure("shape", "an array of integers from 0 on", $0) }
        guard extents.count <= limits.rank else { throw .rank(path: path, tensor: name, limit: limits.rank, found: extents.count) }
        guard let shape = Shape(checking: extents.map(Int.init)) else { throw .shapeTooLarge(path: path, tensor: name, extents: extents) }
        let (byteCount, overflow) = shape.elementCount.multipliedReportingOverflow(by: dtype.byteCount)
        guard !overflow else { throw .shapeTooLarge(path: path, tensor: name, extents: extents) }

        let offsets = try integers(object["data_offsets"]) { failure("data_offsets", "two integers from 0 on", $0) }
        guard offsets.count == 2 else { throw failure("data_offsets", "two integers from 0 on", "\(offsets.count) of them") }
        let (begin, end) = (UInt64(offsets[0]), UInt64(offsets[1]))
        guard begin <= end else { throw .reversedOffsets(path: path, tensor: name, begin: begin, end: end) }
        guard end - begin == UInt64(byteCount) else {
            throw .sizeMismatch(path: path, tensor: name, dtype: dtype, shape: shape, expected: UInt64(byteCount), found: end - begin)
        }
        // No overflow: `end` is below 2^63 and `dataOffset` lies inside the file.
        guard dataOffset + end <= file.size else { throw .beyondFile(path: path, tensor: name, end: dataOffset + end, found: file.size) }
        return .init(name: name, dtype: dtype, shape: shape, offset: dataOffset + begin, byteCount: UInt64(byteCount))
    }

    /// An array of integers that are not negative; `failure` is called with what is there instead.
    private func integers(_ value: JSONValue?, _ failure: (String) -> SafetensorsError) throws(SafetensorsError) -> [Int64] {
        guard let value else { throw failure("nothing") }
        guard let array = value.array else { throw failure(value.kind) }
        var result: [Int64] = []
        result.reserveCapacity(array.count)
        for element in array {
            guard let integer = element.integer, integer >= 0 else {
                throw failure(element.integer != nil || element.double != nil ? "the number \(element.text)" : element.kind)
            }
            result.append(integer)
        }
        return result
    }

    /// The entries, sorted, must cover the file from `start` to its end, each byte once.
    private func checkCover(_ entries: [SafetensorsHeader.Entry], from start: UInt64) throws(SafetensorsError) {
        var end = start
        var previous = ""
        for entry in entries {
            guard entry.offset >= end else {
                throw .overlap(path: path, tensor: entry.name, other: previous, expected: end, found: entry.offset)
            }
            guard entry.offset == end else { throw .hole(path: path, tensor: entry.name, expected: end, found: entry.offset) }
            end += entry.byteCount
            previous = entry.name
        }
        guard end == file.size else { throw .trailingBytes(path: path, expected: end, found: file.size) }
    }
}

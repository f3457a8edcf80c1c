package import Files
import StrictJSON
package import Tensors

/// Writes a safetensors file from a stream of bytes, in memory that does not grow with it.
///
/// The file has the layout of the Rust crate, whatever the order of appending: wide types first, names in the order of their
/// bytes, data aligned to 8. Equal tensors give equal bytes, and the file appears under its name complete or not at all.
package final class SafetensorsWriter {
    package typealias Item = (name: String, dtype: DType, shape: Shape)

    private let output: OutputFile
    /// The tensors in the order of appending.
    private let parts: [Part]
    private var current = 0
    private var written: UInt64 = 0

    private struct Part {
        let name: String
        let offset: UInt64
        let byteCount: UInt64
    }

    /// Lays out the file and writes its header.
    /// - Parameters:
    ///   - kind: how an earlier file of this tool at `path` is known.
    ///   - replace: whether that one may be replaced.
    ///   - inputs: files that the output must not be.
    ///   - tensors: what `append` is going to bring, in this order.
    ///   - metadata: written sorted by key.
    package init(
        path: String, kind: OutputKind? = nil, replace: Bool, inputs: [FileIdentity] = [], tensors: [Item], metadata: [(key: String, value: String)] = []
    ) throws(SafetensorsError) {
        let layout = try Self.layout(tensors, path: path)
        let text = Self.header(tensors, order: layout.order, offsets: layout.offsets, metadata: metadata)
        let limits = SafetensorsHeader.Limits()
        guard UInt64(text.count) <= limits.headerByteCount else {
            throw .headerTooLarge(path: path, limit: limits.headerByteCount, found: UInt64(text.count))
        }
        let dataOffset = 8 + UInt64(text.count)
        parts = tensors.indices.map {
            Part(name: tensors[$0].name, offset: dataOffset + layout.offsets[$0], byteCount: Self.byteCount(tensors[$0]))
        }
        do {
            output = try OutputFile(path: path, kind: kind, replace: replace, inputs: inputs)
            try output.write((0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) } + text)
        } catch { throw .file(error) }
    }

    /// Appends bytes of the tensors, in the order in which they were announced; a piece may end anywhere, in another tensor too.
    @unsafe func append(_ bytes: UnsafeRawBufferPointer) throws(SafetensorsError) {
        var done = 0
        while done < bytes.count {
            skipFinished()
            guard current < parts.count else {
                throw .surplusBytes(path: output.path, expected: parts.reduce(0) { $0 + $1.byteCount })
            }
            let part = parts[current]
            let count = Int(min(UInt64(bytes.count - done), part.byteCount - written))
            let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
            do { unsafe try output.write(piece, at: part.offset + written) } catch { throw .file(error) }
            written += UInt64(count)
            done += count
        }
    }

    package func append(_ bytes: [UInt8]) throws(SafetensorsError) {
        var failure: SafetensorsError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(SafetensorsError) { unsafe try append(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    package func append(_ tensor: EncodedTensor) throws(SafetensorsError) { unsafe try append(tensor.bytes) }

    /// Syncs the file and gives it its name; every announced byte must have come.
    package func finish() throws(SafetensorsError) {
        skipFinished()
        guard current == parts.count else {
            throw .unfinishedTensor(path: output.path, tensor: parts[current].name, expected: parts[current].byteCount, found: written)
        }
        do { try output.commit() } catch { throw .file(error) }
    }

    private func skipFinished() {
        while current < parts.count, written == parts[current].byteCount {
            current += 1
            written = 0
        }
    }

    /// The order of the tensors in the file, and the offset of each in the data.
    private static func layout(_ tensors: [Item], path: String) throws(SafetensorsError) -> (order: [Int], offsets: [UInt64]) {
        let limits = SafetensorsHeader.Limits()
        guard tensors.count <= limits.tensorCount else { throw .tooManyTensors(path: path, limit: limits.tensorCount) }
        var names: Set = [ExactString("__metadata__")]
        for tensor in tensors {
            guard (1...limits.nameByteCount).contains(tensor.name.utf8.count) else {
                throw .name(path: path, tensor: tensor.name, limit: limits.nameByteCount)
            }
            guard names.insert(ExactString(tensor.name)).inserted else { throw .duplicateTensor(path: path, tensor: tensor.name) }
            guard tensor.shape.rank <= limits.rank else {
                throw .rank(path: path, tensor: tensor.name, limit: limits.rank, found: tensor.shape.rank)
            }
        }
        let order = tensors.indices.sorted {
            let (left, right) = (tensors[$0], tensors[$1])
            guard left.dtype == right.dtype else { return rank(left.dtype) > rank(right.dtype) }
            return ExactString(left.name) < ExactString(right.name)
        }
        var offsets = [UInt64](repeating: 0, count: tensors.count)
        var end: UInt64 = 0
        for position in order {
            offsets[position] = end
            end += byteCount(tensors[position])
        }
        return (order, offsets)
    }

    private static func byteCount(_ tensor: Item) -> UInt64 { UInt64(tensor.shape.elementCount) * UInt64(tensor.dtype.byteCount) }

    /// The place of a type in the Rust crate's list, which is what it sorts by, descending.
    private static func rank(_ dtype: DType) -> Int {
        let list: [DType] = [.bool, .u8, .i8, .f8e5m2, .f8e4m3, .i16, .u16, .f16, .bf16, .i32, .u32, .f32, .f64, .i64, .u64]
        return list.firstIndex(of: dtype) ?? list.count
    }

    /// The header as the Rust crate writes it, padded with spaces so that the data begins at a multiple of 8.
    private static func header(
        _ tensors: [Item], order: [Int], offsets: [UInt64], metadata: [(key: String, value: String)]
    ) -> [UInt8] {
        var members: [(String, JSONValue)] = []
        if !metadata.isEmpty {
            let sorted = metadata.sorted { ExactString($0.key) < ExactString($1.key) }
            members.append(("__metadata__", .object(JSONObject(sorted.map { ($0.key, .string($0.value)) }))))
        }
        for position in order {
            let tensor = tensors[position]
            let offsets: JSONValue = [.integer(Int64(offsets[position])), .integer(Int64(offsets[position] + byteCount(tensor)))]
            let shape = JSONValue(tensor.shape.extents)
            members.append((tensor.name, ["dtype": .string(tensor.dtype.rawValue), "shape": shape, "data_offsets": offsets]))
        }
        var text = Array(JSONValue.object(JSONObject(members)).text.utf8)
        text.append(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8))
        return text
    }
}

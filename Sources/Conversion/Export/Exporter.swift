import Files
import Inference
package import PackedFiles
import Safetensors
import StrictJSON
import Tensors

/// Writes a packed file back as a diffusers folder of safetensors.
///
/// Names, shapes and types are the source's. A tensor whose scheme holds the source's own type comes back bit for bit; others are decoded
/// and rounded to the source's type. Concatenations are split and layouts undone; a norm that was folded into the weight before it comes back
/// as ones, and the weight scaled, which computes the same.
package enum Exporter {
    /// - Parameters:
    ///   - folder: where to; it appears complete or not at all.
    ///   - replace: whether an earlier export of that name may be replaced.
    ///   - tool: name and version of the program, for the list of the export's files.
    ///   - shardByteCount: weights beyond this many bytes of a component go into another file.
    ///   - progress: called with the bytes of tensors written and of all.
    package static func run(
        _ file: PackedFile, to folder: String, replace: Bool = false, tool: String, shardByteCount: UInt64 = 5_000_000_000,
        progress: (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in }
    ) throws(ConversionError) {
        let plan = try ExportPlan(file.directory, shardByteCount: shardByteCount)
        let output = try OutputFolder(path: folder, replace: replace, inputs: [file.path])
        try writeBlobs(file, to: output.temporary)
        let total = plan.folders.reduce(0) { $0 + $1.byteCount }
        var done: UInt64 = 0
        progress(done, total)
        for folder in plan.folders {
            let path = Paths.join(output.temporary, folder.name)
            try wrapping(ConversionError.file, try Paths.makeDirectory(path))
            let reader = PackedRows(file: file)
            for shard in folder.shards {
                try write(shard, to: Paths.join(path, shard.fileName), reader) { bytes in
                    done += bytes
                    progress(done, total)
                }
            }
            if let (name, text) = folder.index {
                try wrapping(ConversionError.file, try OutputFile.write(text, to: Paths.join(path, name), replace: false))
            }
        }
        try output.commit(tool: tool)
    }

    /// What an export takes: some rows as they are stored, in float32 and in the checkpoint's type and layout, or one small file.
    package static func memoryNeeded(_ file: PackedFile) -> Int {
        let columns = file.directory.tensors.map(\.shape.columns).max() ?? 0
        let blob = file.directory.blobs.map { Int($0.section.contentByteCount) }.max() ?? 0
        return WorkingSet.processByteCount + max(4 * MemoryLayout<Float>.stride * max(PackedRows.mostElements, columns), 2 * blob)
    }

    /// The names of blobs are relative paths of plain names: the reader of packed files refuses all others.
    private static func writeBlobs(_ file: PackedFile, to folder: String) throws(ConversionError) {
        for blob in file.directory.blobs {
            let bytes = try wrapping(ConversionError.packedFile, try file.blob(blob.name))
            try wrapping(ConversionError.file) { () throws(FileError) in
                var path = folder
                for part in blob.name.split(separator: "/").dropLast() {
                    path = Paths.join(path, String(part))
                    try Paths.makeDirectory(path)
                }
                try OutputFile.write(bytes, to: Paths.join(folder, blob.name), replace: false)
            }
        }
    }

    private static func write(
        _ shard: ExportPlan.Shard, to path: String, _ reader: PackedRows, progress: (UInt64) -> Void
    ) throws(ConversionError) {
        let writer = try wrapping(ConversionError.safetensors) { () throws(SafetensorsError) in
            try SafetensorsWriter(
                path: path, replace: false, tensors: shard.tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: [("format", "pt")])
        }
        for tensor in shard.tensors {
            try reader.forEachChunk(of: tensor) { rows throws(ConversionError) in
                try wrapping(ConversionError.safetensors, try writer.append(rows))
                progress(UInt64(rows.buffer.byteCount))
            }
        }
        try wrapping(ConversionError.safetensors, try writer.finish())
    }
}

/// Reads checkpoint tensors out of a packed file.
private struct PackedRows {
    let file: PackedFile

    /// Elements that are decoded at once.
    static let mostElements = 4 << 20

    /// Calls `body` with the tensor's bytes in its own type and layout, some rows at a time.
    func forEachChunk(
        of tensor: ExportedTensor, _ body: (EncodedTensor) throws(ConversionError) -> Void
    ) throws(ConversionError) {
        switch tensor.content {
        case .ones:
            try body(
                try wrapping(ConversionError.machine) { () throws(MachineError) in
                    try Tensor(tensor.shape, [Float](repeating: 1, count: tensor.shape.elementCount)).narrowed(to: tensor.dtype)
                })
        case .rows(let entry, let range):
            let count = max(1, Self.mostElements / max(1, entry.shape.columns))
            var start = range.lowerBound
            while start < range.upperBound {
                let rows = start..<min(range.upperBound, start + count)
                let planes = try wrapping(ConversionError.packedFile, try file.planes(of: entry, rows: rows))
                try body(
                    try wrapping(ConversionError.machine) { () throws(MachineError) in
                        try Self.decode(planes, entry, rows.count, as: tensor.dtype)
                    })
                start = rows.upperBound
            }
        }
    }

    private static func decode(
        _ planes: [EncodedTensor], _ entry: TensorEntry, _ rows: Int, as dtype: DType
    ) throws(MachineError) -> EncodedTensor {
        let shape = Shape([rows] + entry.shape.extents.dropFirst())
        let encoded = entry.scheme.elementType == dtype ? planes[0] : try entry.scheme.decode(planes, shape: shape).narrowed(to: dtype)
        return entry.layout == .channelsLast ? try encoded.channelsFirst() : encoded
    }
}

package import Tensors

/// Writes what torch.save writes, for tests that run without PyTorch. That it is the same, TorchFilesTests know from files that PyTorch wrote.
package struct TorchArchive {
    /// How a tensor lies in its storage.
    package enum Layout: Sendable {
        case contiguous
        /// Columns before rows, behind some elements that belong to nothing.
        case transposed
    }

    package struct Weight {
        package var name: String
        package var dtype: DType
        package var shape: [Int]
        /// Row-major.
        package var bytes: [UInt8]

        package init(_ name: String, _ dtype: DType, _ shape: [Int], _ bytes: [UInt8]) {
            (self.name, self.dtype, self.shape, self.bytes) = (name, dtype, shape, bytes)
        }
    }

    /// Dictionaries of tensors by key; of the key "" directly in the file's own dictionary.
    package var dictionaries: [(key: String, weights: [Weight])]
    package var layout = Layout.contiguous
    /// Whether each tensor is wrapped as a Parameter.
    package var areParameters = false

    package init(_ dictionaries: [(key: String, weights: [Weight])]) { self.dictionaries = dictionaries }

    private static let storages: [DType: String] = [
        .f32: "FloatStorage", .f16: "HalfStorage", .bf16: "BFloat16Storage", .f64: "DoubleStorage", .i64: "LongStorage", .u8: "ByteStorage",
    ]

    /// The file.
    package var bytes: [UInt8] {
        var pickle = PickleText()
        var storages: [[UInt8]] = []
        pickle.raw("}")
        for (key, weights) in dictionaries {
            if !key.isEmpty {
                pickle.text(key)
                pickle.emptyOrderedDict()
            }
            pickle.mark()
            for weight in weights {
                pickle.text(weight.name)
                if areParameters {
                    pickle.global("torch._utils", "_rebuild_parameter")
                    pickle.mark()
                }
                storages.append(add(weight, storage: storages.count, to: &pickle))
                if areParameters {
                    pickle.raw([0x88])
                    pickle.emptyOrderedDict()
                    pickle.raw("tR")
                }
            }
            pickle.raw(key.isEmpty ? "u" : "us")
        }
        var entries = [RawZip.Entry("model/data.pkl", pickle.finished), .init("model/byteorder", Array("little".utf8))]
        entries += storages.enumerated().map { RawZip.Entry("model/data/\($0)", $1) }
        return RawZip(entries + [.init("model/version", Array("3\n".utf8))]).bytes
    }

    /// Writes a tensor's description.
    /// - Returns: its storage.
    private func add(_ weight: Weight, storage: Int, to pickle: inout PickleText) -> [UInt8] {
        let size = weight.dtype.byteCount
        let count = weight.bytes.count / size
        var strides = weight.shape.indices.map { weight.shape[($0 + 1)...].reduce(1, *) }
        var (offset, content) = (0, weight.bytes)
        if layout == .transposed, weight.shape.count >= 2 {
            let rows = weight.shape[0]
            let columns = count / rows
            offset = 3
            content = [UInt8](repeating: 0xFF, count: offset * size)
            for column in 0..<columns {
                for row in 0..<rows { content += weight.bytes[((row * columns + column) * size)..<((row * columns + column + 1) * size)] }
            }
            strides = [1] + strides.dropFirst().map { $0 * rows }
        }
        pickle.tensor(
            "\(storage)", Self.storages[weight.dtype] ?? "", count: content.count / size, offset: offset, sizes: weight.shape, strides: strides)
        return content
    }
}

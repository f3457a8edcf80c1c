import Files
import Inference
import Operations
import PackedFiles
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// A checkpoint's weights by the weight table: the rows interpreted in the plainest way, so that the runtime is tested without the converter.
final class TableWeights: WeightSource {
    enum Precision {
        /// As the checkpoint stores them.
        case stored
        case float32
    }

    let fusions: Fusions
    private let folder: String
    private let precision: Precision
    private let rows: [String: (row: WeightRow, folder: String)]
    private let tensors: [String: EncodedTensor]

    /// - Parameter fixture: a checkpoint's folder below Tests/Fixtures.
    init(_ fixture: String, fusions: Fusions = .lossless, precision: Precision = .stored) throws {
        folder = Fixtures.path(fixture)
        self.fusions = fusions
        self.precision = precision
        let configuration = try FixtureConfiguration.read(fixture)
        var rows: [String: (WeightRow, String)] = [:]
        for component in Component.allCases {
            for row in SanaSprintWeights.table(configuration, component: component, fusions: fusions) { rows[row.name] = (row, component.folder ?? "") }
        }
        self.rows = rows
        var tensors: [String: EncodedTensor] = [:]
        for part in ["transformer", "vae", "text_encoder"] {
            let path = Paths.join(folder, part)
            for name in try Paths.entries(of: path) where name.hasSuffix(".safetensors") {
                let file = try SafetensorsFile.open(Paths.join(path, name))
                for entry in file.header.entries { tensors["\(part)/\(entry.name)"] = try file.read(entry.name) }
            }
        }
        self.tensors = tensors
    }

    func configuration(_ name: String) throws(InferenceError) -> JSONValue {
        do { return try FixtureConfiguration.json(folder, name) } catch { throw .source("\(error)") }
    }

    func tokenizer() throws(InferenceError) -> [UInt8] {
        do { return try InputFile(path: Paths.join(folder, "tokenizer/tokenizer.json")).contents(limit: 1 << 26) } catch { throw .source("\(error)") }
    }

    func contains(_ name: String) -> Bool { rows[name] != nil }

    func weight(_ name: String) throws(InferenceError) -> StoredWeight {
        guard let (row, folder) = rows[name] else { throw .missing(name: name, source: self.folder) }
        do { return try stored(row, folder) } catch { throw .unreadable(name: name, reason: "\(error)") }
    }

    private func stored(_ row: WeightRow, _ folder: String) throws -> StoredWeight {
        func source(_ name: String) throws -> EncodedTensor { try #require(tensors["\(folder)/\(name)"], "\(name)") }
        guard case .rows(let sources) = row.recipe else { throw InferenceError.unreadable(name: row.name, reason: "is not made of rows") }
        let isScaled = sources.contains { $0.rowScale != nil }
        let parts = try sources.map { part in
            let tensor = try source(part.name)
            let scaled = isScaled ? EncodedTensor(try Self.scaled(tensor, by: try part.rowScale.map(source))) : tensor
            return row.layout == .channelsLast ? try Self.channelsLast(scaled) : scaled
        }
        let joined = try EncodedTensor(dtype: parts[0].dtype, shape: row.shape)
        let bytes = parts.flatMap(\.contents)
        unsafe joined.buffer.mutableBytes.copyBytes(from: bytes)
        switch precision {
        case .stored: return .plain(joined.dtype == .f64 ? EncodedTensor(try joined.widened()) : joined)
        case .float32: return .plain(EncodedTensor(try joined.widened()))
        }
    }

    private static func scaled(_ tensor: EncodedTensor, by factors: EncodedTensor?) throws -> Tensor {
        var result = try tensor.widened()
        guard let factors = try factors?.widened().elements else { return result }
        let columns = result.count / factors.count
        var elements = result.mutableSpan
        for row in factors.indices {
            for column in 0..<columns { elements[row * columns + column] *= factors[row] }
        }
        return result
    }

    /// `[out, in, kh, kw]` to `[out, kh, kw, in]`.
    private static func channelsLast(_ tensor: EncodedTensor) throws -> EncodedTensor {
        let result = try EncodedTensor(dtype: tensor.dtype, shape: tensor.shape)
        let (outputs, inputs, taps, size) = (tensor.shape[0], tensor.shape[1], tensor.shape[2] * tensor.shape[3], tensor.dtype.byteCount)
        let (from, to) = unsafe (tensor.bytes.baseAddress!, result.buffer.mutableBytes.baseAddress!)
        for output in 0..<outputs {
            for input in 0..<inputs {
                for tap in 0..<taps {
                    let (old, new) = ((output * inputs + input) * taps + tap, (output * taps + tap) * inputs + input)
                    unsafe (to + new * size).copyMemory(from: from + old * size, byteCount: size)
                }
            }
        }
        return result
    }
}

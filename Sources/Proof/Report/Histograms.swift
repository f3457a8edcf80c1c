import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// Histograms of weights against their quantized selves: of the tensors that quantization costs most, and of an ordinary one of each kind.
enum Histograms {
    /// How many of the furthest are shown.
    private static let furthest = 6
    /// Values of one tensor that are counted; of larger ones evenly spaced rows are.
    private static let mostValues = 1 << 22

    static func of(_ file: PackedFile, _ checkpoint: Checkpoint) throws(ProofError) -> [WeightHistogram] {
        let chosen = choose(file.directory.tensors)
        guard !chosen.isEmpty else { return [] }
        let weights: CheckpointWeights
        do throws(ConversionError) {
            let components = ComponentSelection.listed(file.directory.components.compactMap { Component(rawValue: $0.name) }.filter { $0 != .prefixCache })
            weights = try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: components)
        } catch { throw .conversion(error) }
        do throws(InferenceError) {
            let packed = try PackedWeights(file)
            var result: [WeightHistogram] = []
            for (entry, choice) in chosen { result.append(try histogram(entry, choice, packed, weights)) }
            return result
        } catch { throw .inference(error) }
    }

    /// The quantized tensors to show, worst first, each once.
    private static func choose(_ tensors: [TensorEntry]) -> [(TensorEntry, String)] {
        let quantized = tensors.filter(\.isQuantized).sorted { ($0.error?.relativeL2 ?? 0) > ($1.error?.relativeL2 ?? 0) }
        var chosen = quantized.prefix(furthest).map { ($0, "among the furthest") }
        var kinds: [String] = []
        for entry in tensors where entry.isQuantized {
            let kind = "\(entry.component) \(entry.role)"
            if !kinds.contains(kind) { kinds.append(kind) }
        }
        for kind in kinds {
            let alike = quantized.filter { "\($0.component) \($0.role)" == kind }
            let middle = alike[alike.count / 2]
            if !chosen.contains(where: { $0.0.name == middle.name }) { chosen.append((middle, "the middle one of \(kind)")) }
        }
        return chosen
    }

    private static func histogram(
        _ entry: TensorEntry, _ choice: String, _ packed: PackedWeights, _ weights: CheckpointWeights
    ) throws(InferenceError) -> WeightHistogram {
        let all = entry.shape.rows
        let counted = max(1, min(all, mostValues / max(1, entry.shape.columns)))
        let rows = (0..<counted).map { $0 * all / counted }
        let (source, stored) = (try weights.rows(rows, of: entry.name), try packed.rows(rows, of: entry.name))
        let (reference, other) = try allocating((try source.widened(), try stored.widened()))
        let scheme = entry.scheme.name + (entry.activations.map { " (\($0.rawValue))" } ?? "")
        return WeightHistogram(
            name: entry.name, scheme: scheme, choice: choice, rows: (counted, all), reference: reference.span, other: other.span)
    }
}

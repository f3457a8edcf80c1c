import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import Tensors

/// P1: renaming, concatenation and layout put every element of a source where the formula says, and lose none.
struct PermutationRung: LadderRung {
    private(set) var outcome = Outcome()
    /// Elements that are looked at; beyond, one tensor of each kind.
    private static let mostElements = 1 << 26

    /// - Parameter fused: the checkpoint's weights as the converter lays them out, in float32.
    init(_ file: PackedFile, _ checkpoint: Checkpoint, fused: CheckpointWeights) throws {
        let entries = file.directory.tensors.filter { entry in
            entry.shape.elementCount <= Self.mostElements && Self.sources(fused.recipe(entry.name)) != nil
        }
        let isLarge = entries.reduce(0) { $0 + $1.shape.elementCount } > Self.mostElements
        var seen: Set<String> = []
        var (held, all) = (0, 0)
        for entry in entries {
            guard !isLarge || seen.insert(WeightCauses.stem(entry.name).0).inserted else { continue }
            guard let folder = Component(rawValue: entry.component)?.folder, let component = checkpoint.components[folder],
                let sources = Self.sources(fused.recipe(entry.name))
            else { continue }
            all += 1
            if try Self.matches(try fused.weight(entry.name).widened(), sources, component, isChannelsLast: entry.layout == .channelsLast) {
                held += 1
            } else {
                outcome.findings.append(Finding(subject: entry.name, what: "places of elements", expected: "each source element in its place", found: "others"))
            }
        }
        outcome.add(
            "P1", "every element of a source tensor is in its place", held: held, of: all, unit: isLarge ? "tensors, one of each kind" : "tensors",
            reason: "concatenation and layout written down a second time, element by element; exact")
    }

    /// The tensors whose rows follow each other, as they are stored; nil where a recipe does anything else.
    private static func sources(_ recipe: Recipe?) -> [String]? {
        guard case .rows(let sources) = recipe, sources.allSatisfy({ $0.keepsValues && $0.keepsOrder }) else { return nil }
        return sources.map(\.name)
    }

    private static func matches(_ packed: Tensor, _ sources: [String], _ component: CheckpointComponent, isChannelsLast: Bool) throws -> Bool {
        let values = packed.span
        var position = 0
        for name in sources {
            let source = try component.read(name)
            let elements = try source.rounded()
            let (span, shape) = (elements.span, elements.shape)
            guard position + elements.count <= packed.count else { return false }
            guard isChannelsLast else {
                for index in span.indices where values[position + index].bitPattern != span[index].bitPattern { return false }
                position += elements.count
                continue
            }
            // Packed [o, y, x, i] is source [o, i, y, x].
            let (inputs, height, width) = (shape[1], shape[2], shape[3])
            for output in 0..<shape[0] {
                for input in 0..<inputs {
                    for y in 0..<height {
                        for x in 0..<width {
                            let from = ((output * inputs + input) * height + y) * width + x
                            let to = ((output * height + y) * width + x) * inputs + input
                            if values[position + to].bitPattern != span[from].bitPattern { return false }
                        }
                    }
                }
            }
            position += elements.count
        }
        return position == packed.count
    }
}

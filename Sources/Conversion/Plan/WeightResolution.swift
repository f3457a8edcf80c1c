import Checkpoints
package import Inference
import StrictJSON
import Tensors

/// A change of the weight table's rows before their tensors are looked for: recipes of an adapter, or of a checkpoint with other names.
package typealias RowEdit = @Sendable (WeightRow, Component) -> WeightRow

/// The weight table of a checkpoint's configuration with every row's tensors found: names, shapes and types are checked, nothing is read.
struct WeightResolution: Sendable {
    let configuration: SanaSprintConfiguration
    /// In float32, until something else is decided.
    let tensors: [PlannedTensor]

    /// Suggesting names takes time that grows with both lists; beyond this many names the rest come without.
    private static let mostSuggestions = 64

    /// - Throws: `.tensors` with every difference between the table and the checkpoint in the folders of `components`.
    init(_ checkpoint: Checkpoint, components: [Component], fusions: Fusions, frozen: FrozenSchedule? = nil, edit: RowEdit?) throws(ConversionError) {
        let configuration = try Self.configuration(of: checkpoint)
        self.configuration = configuration
        guard frozen == nil || configuration.transformer.embedsGuidance else {
            throw .component(
                Component.transformer.rawValue, message: "has no embedding of guidance, which a frozen schedule is the table of; leave out --freeze-steps")
        }
        var tensors: [PlannedTensor] = []
        var problems: [TensorProblem] = []
        // A folder is looked at as a whole: the encoder's tensors are nobody's mistake when only the decoder is packed.
        for folder in Self.folders(components) {
            guard let files = checkpoint.components[folder] else {
                throw .component(folder, message: "the checkpoint has no such folder")
            }
            var claimed: Set<ExactString> = []
            var missing: [(name: String, row: String)] = []
            for component in Component.allCases where component.folder == folder {
                for row in SanaSprintWeights.table(configuration, component: component, fusions: fusions, frozen: frozen) {
                    let row = files.adapted(edit?(row, component) ?? row)
                    claimed.formUnion((row.recipe.main + row.recipe.operands).map { ExactString($0.name) })
                    guard components.contains(component) else { continue }
                    tensors.append(Self.resolve(row, component, in: files, missing: &missing, problems: &problems))
                }
            }
            let unclaimed = files.tensorNames.filter { !claimed.contains(ExactString($0)) }
            if !(unclaimed.isEmpty && missing.isEmpty && problems.isEmpty),
                let diagnosis = NamingDiagnosis.of(files, unclaimed: unclaimed, missing: missing.map(\.name))
            {
                throw diagnosis
            }
            problems += Self.namingProblems(unclaimed: unclaimed, missing: missing)
        }
        guard problems.isEmpty else { throw .tensors(path: checkpoint.path, problems: problems) }
        self.tensors = tensors
    }

    /// The architecture that the checkpoint's configuration files describe.
    static func configuration(of checkpoint: Checkpoint) throws(ConversionError) -> SanaSprintConfiguration {
        guard checkpoint.components["transformer"] != nil else {
            throw .component("transformer", message: "\(checkpoint.path) has no such folder; a SANA-Sprint checkpoint in the layout of diffusers has")
        }
        let files = checkpoint.components.mapValues(\.configuration)
        return try wrapping(ConversionError.inference, try SanaSprintConfiguration(files))
    }

    private static func folders(_ components: [Component]) -> [String] {
        var folders: [String] = []
        for folder in components.filter(\.hasWeights).compactMap(\.folder) where !folders.contains(folder) { folders.append(folder) }
        return folders
    }

    private static func resolve(
        _ row: WeightRow, _ component: Component, in files: CheckpointComponent, missing: inout [(name: String, row: String)], problems: inout [TensorProblem]
    ) -> PlannedTensor {
        func find(_ input: Recipe.Input) -> StoredTensor? {
            guard let entry = files.entry(input.name) else {
                missing.append((input.name, row.name))
                return nil
            }
            if entry.shape != input.shape { problems.append(.shape(name: input.name, expected: input.shape, found: entry.shape)) }
            switch entry.dtype {
            case .f16, .bf16, .f32, .f64: break
            default: problems.append(.dtype(name: input.name, found: entry.dtype))
            }
            return StoredTensor(name: input.name, dtype: entry.dtype, shape: entry.shape, scratchByteCount: entry.scratchByteCount)
        }
        let operands = row.recipe.operands.compactMap(find)
        return PlannedTensor(row: row, component: component, sources: row.recipe.main.compactMap(find), operands: operands)
    }

    private static func namingProblems(unclaimed: [String], missing: [(name: String, row: String)]) -> [TensorProblem] {
        let toMissing = NearestNames(missing.map(\.name))
        let toUnclaimed = NearestNames(unclaimed)
        return unclaimed.enumerated().map { index, name in
            .unclaimed(name: name, nearest: index < mostSuggestions ? toMissing.nearest(to: name) : [])
        }
            + missing.enumerated().map { index, entry in
                .missing(name: entry.name, row: entry.row, nearest: index < mostSuggestions ? toUnclaimed.nearest(to: entry.name) : [])
            }
    }
}

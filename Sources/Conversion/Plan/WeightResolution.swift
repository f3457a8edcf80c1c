import Checkpoints
import Inference
import Safetensors
import StrictJSON
import Tensors

/// The weight table of a checkpoint's configuration with every row's tensors found: names, shapes and types are checked, nothing is read.
struct WeightResolution: Sendable {
    let configuration: SanaSprintConfiguration
    let rows: [Row]

    struct Row: Sendable {
        let row: WeightRow
        let component: Component
        let sources: [PlannedSource]
        /// The vectors named by `rowScale`, each once.
        let rowScales: [PlannedSource]
    }

    /// Suggesting names takes time that grows with both lists; beyond this many names the rest come without.
    private static let mostSuggestions = 64

    /// - Throws: `.tensors` with every difference between the table and the checkpoint in the folders of `components`.
    init(_ checkpoint: Checkpoint, components: [Component], fusions: Fusions, frozen: FrozenSchedule? = nil) throws(ConversionError) {
        let configuration = try Self.configuration(of: checkpoint)
        self.configuration = configuration
        var rows: [Row] = []
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
                    claimed.formUnion(row.sources.flatMap { [$0.name] + ($0.rowScale.map { [$0] } ?? []) }.map(ExactString.init))
                    guard components.contains(component) else { continue }
                    rows.append(Self.resolve(row, component, in: files, missing: &missing, problems: &problems))
                }
            }
            let unclaimed = files.tensorNames.filter { !claimed.contains(ExactString($0)) }
            problems += Self.namingProblems(unclaimed: unclaimed, missing: missing)
        }
        guard problems.isEmpty else { throw .tensors(path: checkpoint.path, problems: problems) }
        self.rows = rows
    }

    /// The architecture that the checkpoint's configuration files describe.
    static func configuration(of checkpoint: Checkpoint) throws(ConversionError) -> SanaSprintConfiguration {
        guard checkpoint.components["transformer"] != nil else {
            throw .component("transformer", message: "\(checkpoint.path) has no such folder; a SANA-Sprint checkpoint in the layout of diffusers has")
        }
        let files = checkpoint.components.mapValues(\.configuration)
        return try wrapping(ConversionError.configuration) { () throws(ConfigurationError) in try SanaSprintConfiguration(files) }
    }

    private static func folders(_ components: [Component]) -> [String] {
        var folders: [String] = []
        for folder in components.filter(\.hasWeights).compactMap(\.folder) where !folders.contains(folder) { folders.append(folder) }
        return folders
    }

    private static func resolve(
        _ row: WeightRow, _ component: Component, in files: CheckpointComponent, missing: inout [(name: String, row: String)], problems: inout [TensorProblem]
    ) -> Row {
        func find(_ name: String, _ shape: Shape, rowScale: String?) -> PlannedSource? {
            guard let entry = files.entry(name) else {
                missing.append((name, row.name))
                return nil
            }
            if entry.shape != shape { problems.append(.shape(name: name, expected: shape, found: entry.shape)) }
            switch entry.dtype {
            case .f16, .bf16, .f32, .f64: break
            default: problems.append(.dtype(name: name, found: entry.dtype))
            }
            return PlannedSource(name: name, dtype: entry.dtype, shape: entry.shape, rowScale: rowScale)
        }
        var rowScales: [PlannedSource] = []
        for source in row.sources {
            guard let name = source.rowScale, !rowScales.contains(where: { ExactString($0.name) == ExactString(name) }) else { continue }
            if let scale = find(name, [source.shape.rows], rowScale: nil) { rowScales.append(scale) }
        }
        return Row(row: row, component: component, sources: row.sources.compactMap { find($0.name, $0.shape, rowScale: $0.rowScale) }, rowScales: rowScales)
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

extension Checkpoint {
    /// The weight files that a component is in.
    func files(of component: Component) throws(ConversionError) -> CheckpointComponent {
        guard let folder = component.folder, let files = components[folder] else {
            throw .component(component.rawValue, message: "\(path) has no folder \(component.folder ?? "for it")")
        }
        return files
    }
}

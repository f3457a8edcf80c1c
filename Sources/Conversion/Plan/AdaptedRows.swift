import Checkpoints
import Inference
import PackedFiles
import StrictJSON
import Tensors

extension CheckpointComponent {
    /// A row of the weight table with what the checkpoint's adapters add to its sources, before anything else becomes of their rows.
    func adapted(_ row: WeightRow) -> WeightRow {
        let recipe: Recipe
        switch row.recipe {
        case .rows(let sources):
            guard sources.contains(where: { !additions(to: $0.name).isEmpty }) else { return row }
            recipe = .rows(sources.map(adapted))
        case .computed(let computation, let inputs):
            // The computation takes adapted weights; it is recorded what they were made of.
            let added = inputs.flatMap { additions(to: $0.name).flatMap(\.operands) }
            guard !added.isEmpty else { return row }
            recipe = .computed(by: computation, from: inputs + added)
        }
        return WeightRow(name: row.name, shape: row.shape, role: row.role, recipe: recipe, layout: row.layout)
    }

    private func adapted(_ source: Recipe.Source) -> Recipe.Source {
        // A tensor of another shape than the table's is told about when it is looked for.
        let added = additions(to: source.name).filter { $0.fits(rows: source.input.shape.rows, columns: source.input.shape.columns) }
        return added.isEmpty ? source : Recipe.Source(source.name, source.input.shape, [.add(added)] + source.transforms)
    }

    private func additions(to tensor: String) -> [RowAddition] {
        func input(_ tensor: StoredTensor) -> Recipe.Input { Recipe.Input(tensor.name, tensor.shape) }
        return adaptations[ExactString(tensor)]?.map {
            RowAddition(factor: $0.factor, up: input($0.up), down: $0.down.map(input), magnitude: $0.magnitude.map(input))
        } ?? []
    }
}

extension ConversionPlan {
    /// What adapters bring has to go somewhere, and be recorded there.
    static func checkAdapters(of checkpoint: Checkpoint, components: [Component], tensors: [PlannedTensor]) throws(ConversionError) {
        let folders = Set(components.compactMap(\.folder))
        for adapter in checkpoint.adapters {
            for folder in adapter.components where !folders.contains(folder) {
                throw .component(
                    folder, message: "\(adapter.path) changes its weights, which are not packed; add it to --components, or leave the adapter out")
            }
        }
        for tensor in tensors {
            let count = tensor.sources.count + tensor.operands.count
            guard count <= SourceRecord.mostOfTensor else { throw .tooManySources(tensor: tensor.name, limit: SourceRecord.mostOfTensor, found: count) }
        }
    }
}

import Operations
import Tensors

/// What an engine holds from one step and one job to the next: chosen once, by what the source says of its weights, before any is read.
struct Residency: Sendable {
    /// Parts of the model, as `SanaSprintWeights.layer` names them, whose weights stay.
    private(set) var parts: Set<String> = []
    private(set) var holdsTokenizer = false
    private(set) var holdsPrompt = false
    /// Whether a job of several steps holds the transformer until they are done.
    let holdsSteps: Bool
    /// The most that all of it takes between jobs.
    private(set) var byteCount = 0

    /// Nothing but the transformer, between the steps of a job.
    init() { holdsSteps = true }

    /// As much as fits into so many bytes, in the order in which it saves time: the tokenizer, the last prompt, and the weights of transformer,
    /// decoder and text encoder, part by part. Of a source that does not describe its weights, none.
    init<E: Executor>(_ weights: any WeightSource, _ model: SanaSprintConfiguration, _ compute: Compute, on executor: E, within bound: Int) {
        holdsSteps = false
        guard !weights.summaries.isEmpty else { return }
        holdsTokenizer = take(GemmaTokenizer.byteCount(ofText: weights.tokenizerByteCount), within: bound)
        holdsPrompt = take(
            SanaTransformer<E>.Prompt.byteCount(model.transformer, control: model.control, tokens: SanaSprintPrompt.defaultMaximumLength, on: executor),
            within: bound)
        for component in ["dit.", "control.", "vae.dec.", "text."] {
            let kept = weights.summaries.filter { $0.name.hasPrefix(component) && $0.isKept }
            let parts = Dictionary(grouping: kept) { SanaSprintWeights.layer(of: $0.name) }
            for (name, weights) in parts.sorted(by: { $0.key < $1.key }) {
                let bytes = weights.reduce(0) { $0 + $1.footprint(compute, on: executor).kept }
                if take(bytes, within: bound) { self.parts.insert(name) }
            }
        }
    }

    private mutating func take(_ bytes: Int, within bound: Int) -> Bool {
        guard bytes <= bound - byteCount else { return false }
        byteCount += bytes
        return true
    }

    /// Whether all layers that a step of a model reads stay from one step to the next.
    func repeatsSteps(_ count: Int, of weights: any WeightSource, controlled: Bool) -> Bool {
        if holdsSteps { return count > 1 }
        let read = weights.summaries.filter { $0.isOfSteps(controlled: controlled) }
        return !read.isEmpty && read.allSatisfy(holds)
    }

    /// Whether the layer that is made of a weight stays.
    func holds(_ weight: WeightSummary) -> Bool { weight.isKept && parts.contains(SanaSprintWeights.layer(of: weight.name)) }
}

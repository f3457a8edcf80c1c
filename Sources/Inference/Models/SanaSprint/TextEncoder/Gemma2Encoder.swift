package import Operations
import ProbePoints
package import Tensors

/// Gemma-2 as a text encoder: the normed hidden states of its last layer.
///
/// Layers are loaded one after the other, and let go unless they are to stay, since each is used once per prompt. Padding comes last and attention is causal, so tokens
/// alone are computed. Source: Gemma2Model in transformers' modeling_gemma2.py.
package struct Gemma2Encoder<E: Executor>: Sendable {
    package let configuration: TextEncoderConfiguration
    private let loader: WeightLoader<E>
    private let rows: TextEncoderRows

    init(_ configuration: TextEncoderConfiguration, from source: any WeightSource, on executor: E, built: BuiltLayers? = nil) {
        self.configuration = configuration
        loader = WeightLoader(source: source, on: executor, built: built)
        rows = TextEncoderRows(configuration, source.fusions)
    }

    /// Hidden states `[tokens, width]` of token ids.
    ///
    /// - Parameter paddedLength: how many rows the probes have, of which those after the last token are zero.
    func encode(_ ids: [Int32], probes: Probes = Probes(), paddedLength: Int = 0) throws(InferenceError) -> Tensor {
        let embedded = try embed(ids)
        try allocating(try probes.recordTokens(Probe(.embeddings), embedded, paddedTo: paddedLength))
        var (x, rotary) = try placed(embedded)
        for index in 0..<configuration.layers {
            try probes.checkCancelled()
            let layer = try load(index)
            try allocating { () throws(MachineError) in
                _ = try layer.apply(&x, rotary: rotary)
                try probes.recordTokens(Probe(.textLayer, index), try executor.tensor(from: x), paddedTo: paddedLength)
            }
        }
        return try normed(x)
    }

    /// Hidden states `[tokens after the prefix, width]` of token ids that begin with a prefix that is known already.
    func encode(_ ids: [Int32], after prefix: PromptPrefix, probes: Probes = Probes()) throws(InferenceError) -> Tensor {
        var (x, rotary) = try placed(try embed(Array(ids.dropFirst(prefix.ids.count))), first: prefix.ids.count)
        for index in 0..<configuration.layers {
            try probes.checkCancelled()
            let known = try prefix.keyValues(index)
            guard known.shape == [prefix.ids.count, 2 * configuration.keyValueWidth] else {
                throw .wrongShape(
                    name: PromptPrefix.name(ofLayer: index), expected: [prefix.ids.count, 2 * configuration.keyValueWidth], found: known.shape)
            }
            let layer = try load(index)
            try allocating { () throws(MachineError) in
                _ = try layer.apply(&x, rotary: rotary, prefix: try executor.rows(from: known))
                try probes.recordTokens(Probe(.textLayer, index), try executor.tensor(from: x))
            }
        }
        return try normed(x)
    }

    /// The same of several prompts, each on its own, with weights that are loaded once.
    /// - Parameter progress: is told before each layer.
    func encode(_ prompts: [[Int32]], _ progress: () -> Void) throws(InferenceError) -> [Tensor] {
        var streams: [(x: E.Rows, rotary: E.Rows)] = []
        for ids in prompts { streams.append(try placed(try embed(ids))) }
        for index in 0..<configuration.layers {
            progress()
            let layer = try load(index)
            for place in streams.indices {
                let rotary = streams[place].rotary
                _ = try allocating(try layer.apply(&streams[place].x, rotary: rotary))
            }
        }
        return try streams.map { stream throws(InferenceError) in try normed(stream.x) }
    }

    /// Computes what a `PromptPrefix` of token ids holds.
    ///
    /// - Parameter take: is given the keys and values of each layer.
    /// - Returns: the normed hidden state of position 0, `[1, width]`.
    package func computePrefix(_ ids: [Int32], _ take: (_ layer: Int, Tensor) -> Void) throws(InferenceError) -> Tensor {
        var (x, rotary) = try placed(try embed(ids))
        for index in 0..<configuration.layers {
            let layer = try load(index)
            take(index, try allocating(try executor.tensor(from: try layer.apply(&x, rotary: rotary))))
        }
        return try normed(try allocating(try executor.row(0, of: x))).batched
    }

    /// Reading so many tokens behind a prefix: the largest layer loaded, and another that lingers, or at work beside the embedded tokens, the stream, its rotary table and the
    /// prefix's keys and values as they are read and moved.
    static func footprint(
        _ c: TextEncoderConfiguration, _ fusions: Fusions, _ sizes: WeightSizes<E>, tokens: Int, prefix: Int, _ held: (WeightSummary) -> Bool
    ) -> Footprint {
        let (layers, executor) = (TextEncoderRows(c, fusions).layers, sizes.executor)
        let weights = layers.indices.map { sizes.loading(SanaSprintWeights.textLayer($0), held: held) }
        let (loaded, lingering) = (weights.map(\.peak).max() ?? 0, executor.lingering(weights.map(\.kept).max() ?? 0))
        let working = layers.map { Gemma2Layer.workingBytes($0, sizes, tokens: tokens, prefix: prefix, c) }.max() ?? 0
        return Footprint(
            kept: loaded,
            passing: max(working, lingering) + 2 * executor.byteCount(of: tokens * c.width) + 2 * executor.byteCount(of: tokens * c.headDimension)
                + 2 * executor.byteCount(of: prefix * 2 * c.keyValueWidth))
    }

    package func normed(_ x: Tensor) throws(InferenceError) -> Tensor {
        try normed(try allocating(try executor.rows(from: x)))
    }

    private func normed(_ x: E.Rows) throws(InferenceError) -> Tensor {
        let norm = try loader.norm(rows.norm, offset: 1, epsilon: configuration.normEpsilon)
        return try allocating(try executor.tensor(from: try executor.normed(x, by: norm)))
    }

    /// One layer alone, from a given input `[tokens, width]`.
    package func layer(_ index: Int, _ x: Tensor) throws(InferenceError) -> Tensor { try layer(index, [x])[0] }

    /// The same of several prompts, each on its own, with weights that are loaded once.
    package func layer(_ index: Int, _ prompts: [Tensor]) throws(InferenceError) -> [Tensor] {
        let layer = try load(index)
        return try prompts.map { tokens throws(InferenceError) in
            var (x, rotary) = try placed(tokens)
            return try allocating { () throws(MachineError) in
                _ = try layer.apply(&x, rotary: rotary)
                return try executor.tensor(from: x)
            }
        }
    }

    private func load(_ index: Int) throws(InferenceError) -> Gemma2Layer<E> {
        try Gemma2Layer(loader, rows.layers[index], window: configuration.windows[index], configuration)
    }

    private var executor: E { loader.executor }

    /// Tokens from a position on where they are computed, and the table of `Rotary` for them.
    private func placed(_ x: Tensor, first: Int = 0) throws(InferenceError) -> (E.Rows, rotary: E.Rows) {
        try allocating { () throws(MachineError) in
            let rotary = try Rotary.table(first: first, tokens: x.rows, headDimension: configuration.headDimension, theta: configuration.ropeTheta)
            return (try executor.rows(from: x), try executor.rows(from: rotary))
        }
    }

    /// Rows of the embedding table times sqrt(width). Only these rows are decoded.
    package func embed(_ ids: [Int32]) throws(InferenceError) -> Tensor {
        let (vocabulary, width) = (configuration.vocabulary, configuration.width)
        for id in ids where !(0..<vocabulary).contains(Int(id)) {
            throw .request(
                subject: "token ids", expected: "0 to \(vocabulary - 1), the text encoder's vocabulary", found: "\(id); the tokenizer is another model's")
        }
        let wanted = Set(ids.map(Int.init)).sorted()
        let stored = try loader.rows(wanted, of: rows.embedding)
        let places = Dictionary(uniqueKeysWithValues: wanted.enumerated().map { ($1, $0) })
        let scale = Double(width).squareRoot()
        return try allocating { () throws(MachineError) in
            let table = try stored.widened()
            var result = try Tensor([ids.count, width], zeroed: false)
            var elements = result.mutableSpan
            for (row, id) in ids.enumerated() {
                let place = places[Int(id), default: 0]
                for column in 0..<width { elements[row * width + column] = Float(Double(table.span[place * width + column]) * scale) }
            }
            return result
        }
    }
}

import Inference
import Operations
import Tensors

/// Features of some prompts by many text encoders at once: the checkpoint's, that with one layer of other weights for each layer, and the other whole.
///
/// Every layer is loaded once for all of them, as in `VelocityWave`.
struct FeatureWave<E: Executor> {
    let own: Gemma2Encoder<E>
    let other: Gemma2Encoder<E>

    /// Hidden states `[tokens, width]` by prompt.
    struct Result {
        var own: [Tensor]
        /// With the other's table of tokens alone, then with each of its layers.
        var exchanged: [[Tensor]]
        /// Of the other.
        var whole: [Tensor]
    }

    func run(_ ids: [[Int32]], _ progress: () -> Void) throws(InferenceError) -> Result {
        func embedded(_ encoder: Gemma2Encoder<E>) throws(InferenceError) -> [Tensor] {
            try ids.map { ids throws(InferenceError) in try encoder.embed(ids) }
        }
        let table = try embedded(other)
        // The last two are the checkpoint's and the other's.
        var streams = [table, try embedded(own), table]
        for layer in 0..<own.configuration.layers {
            progress()
            let whole = streams.removeLast()
            let before = streams[streams.count - 1]
            var after = try own.layer(layer, Array(streams.joined()))
            streams = streams.map { stream in
                defer { after.removeFirst(stream.count) }
                return Array(after.prefix(stream.count))
            }
            let exchanged = try other.layer(layer, before + whole)
            streams.insert(Array(exchanged.prefix(before.count)), at: streams.count - 1)
            streams.append(Array(exchanged.suffix(whole.count)))
        }
        func normed(_ stream: [Tensor], _ encoder: Gemma2Encoder<E>) throws(InferenceError) -> [Tensor] {
            try stream.map { x throws(InferenceError) in try encoder.normed(x) }
        }
        let whole = try normed(streams.removeLast(), other)
        let exact = try normed(streams.removeLast(), own)
        return Result(own: exact, exchanged: try streams.map { stream throws(InferenceError) in try normed(stream, own) }, whole: whole)
    }
}

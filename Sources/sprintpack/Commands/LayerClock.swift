import Inference
import Tensors

/// Times the layers of a run by the probe points that it passes; takes no values, which would cost time of its own.
final class LayerClock: ProbeSink {
    /// The probes passed, in order, each with the seconds since the one before it, or since the last `restart`.
    private(set) var laps: [(name: String, seconds: Double)] = []
    private var last = ProgressBar.now()

    /// Begins a stage: what came before belongs to no layer.
    func restart() { last = ProgressBar.now() }

    func wants(_ name: String) -> Bool {
        let now = ProgressBar.now()
        laps.append((name, now - last))
        last = now
        return false
    }

    func record(_ name: String, _ value: EncodedTensor) {}
}

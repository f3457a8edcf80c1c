import Inference
import ProbePoints

/// Times the layers of a run by the probe points that it passes.
final class LayerClock: StageClock {
    /// The probes passed, in order, each with the seconds since the one before it, or since the last `restart`.
    private(set) var laps: [(name: String, seconds: Double)] = []
    private var last = ProgressBar.now()
    /// Waits until what was asked for before is done.
    private let wait: () -> Void

    init(wait: @escaping () -> Void) { self.wait = wait }

    /// Begins a stage: what came before belongs to no layer.
    func restart() {
        wait()
        last = ProgressBar.now()
    }

    func passed(_ probe: Probe) {
        wait()
        let now = ProgressBar.now()
        laps.append((probe.name, now - last))
        last = now
    }
}

import Inference
import Operations
import ProbePoints

/// Times the stages of a run, and its layers by the probe points that it passes, with a stopwatch that waits for nobody before the end.
final class LayerClock<Stage>: StageClock {
    private enum Mark {
        /// Of a stage or of a part of one; what came before belongs to no layer.
        case stage(Stage?)
        case probe(Probe)
    }

    private let watch: any Stopwatch
    private var marks: [Mark] = []
    /// The first refusal of the stopwatch, which probes are not asked for.
    private var failure: (any Error)?

    init(_ watch: any Stopwatch) { self.watch = watch }

    /// Marks where a stage begins, or with nil the end of all.
    func begin(_ stage: Stage?) { mark(.stage(stage)) }
    func passed(_ probe: Probe) { mark(.probe(probe)) }

    private func mark(_ mark: Mark) {
        do {
            try watch.mark()
            marks.append(mark)
        } catch {
            failure = failure ?? error
        }
    }

    /// Seconds from the first mark to each of a stage, and of each layer: to its probe from the mark before.
    func times() throws -> (stages: [(stage: Stage?, at: Double)], layers: [(name: String, seconds: Double)]) {
        if let failure { throw failure }
        var (stages, layers): ([(Stage?, Double)], [(String, Double)]) = ([], [])
        var before = 0.0
        for (mark, at) in zip(marks, try watch.seconds()) {
            switch mark {
            case .stage(let stage): stages.append((stage, at))
            case .probe(let probe): layers.append((probe.name, at - before))
            }
            before = at
        }
        return (stages, layers)
    }
}

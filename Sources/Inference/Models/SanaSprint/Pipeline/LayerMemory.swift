import Operations
import Tensors

extension MemoryStatement {
    /// What the process takes that loads the layers of a model one at a time and runs each on a few rows, as the certificate's check does.
    /// - Parameter copies: models that run side by side.
    package static func layers(of weights: any WeightSource, copies: Int = 1) -> Int {
        var layers: [String: Int] = [:]
        var staging = 0
        for summary in weights.summaries where summary.role != .embedding {
            layers[SanaSprintWeights.layer(of: summary.name), default: 0] += summary.loadedBytes(.float32)
            staging = max(staging, summary.planeBytes)
        }
        let used = copies * ((layers.values.max() ?? 0) + staging) + Parallel.threads * threadBytes + 4 * weights.tokenizerByteCount
        return Stage(name: "layers", weightBytes: used, workingBytes: mostRows).byteCount
    }

    /// What comparing two traces takes that have these elements in their largest probe, with or without the model's layers beside.
    package static func comparison(largestProbe elements: Int, weights: (any WeightSource)?) -> Int {
        // Stored, widened to float32 and to float64, of reference, other and yardstick.
        let probes = 3 * 16 * elements
        return weights.map { layers(of: $0, copies: 2) + probes } ?? Stage(name: "probes", weightBytes: 0, workingBytes: probes).byteCount
    }

    /// The rows that a check runs, and what it compares them with.
    private static let mostRows = 32 << 20
}

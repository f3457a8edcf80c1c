import ProbePoints
import Tensors

/// The gate of every probe of a comparison of two traces: Formats/trace.md, section "Gates".
struct ProbeGates: Sendable {
    /// The coarsest of the two traces' arithmetics and 16-bit weights, as their metadata name them.
    let arithmetic: Arithmetic
    let weights: TraceWeights
    /// Blocks of the transformer that the reference shows; rounding errors add up along them.
    let depth: Int

    init(arithmetic: Arithmetic, weights: TraceWeights, depth: Int) {
        // A weight rounded to 16 bits does to the results what one rounding of 16-bit arithmetic does.
        self.arithmetic = max(arithmetic, weights == .float16 ? .float16 : weights == .bfloat16 ? .bfloat16 : .float64)
        self.weights = weights
        self.depth = depth
    }

    /// - Parameters:
    ///   - probe: nil for one that the format does not know.
    ///   - types: element types of the reference's and the other's tensor.
    ///   - yardstick: relative L2 of PyTorch's float32 trace from the same reference, where one was given.
    func gate(_ probe: Probe?, types: (reference: DType, other: DType), yardstick: Double? = nil) -> Gate {
        if probe?.kind == .bytes && weights == .exact && arithmetic <= .float32 {
            return Gate(.maxAbs(1), reason: "an 8-bit picture may differ by one level where a value lies at the edge of two")
        }
        guard let reference = Arithmetic(types.reference), let other = Arithmetic(types.other) else {
            return probe?.kind == .bytes ? picture : .exact("integers are equal or wrong")
        }
        let coarsest = max(arithmetic, reference, other)
        if probe?.isNoise == true {
            // Inputs are copied, not computed: only the way they are stored may round them.
            let stored = max(reference, other)
            if stored <= .float32 { return Gate(.maxAbs(1e-6), reason: "both runs must start from the same noise") }
            return Gate(.relativeL2(stored.unitRoundoff), reason: "both runs must start from the same noise, here stored in \(stored.rawValue)")
        }
        if let quantized = weights.gate(probe) { return quantized }
        switch coarsest {
        case .float64:
            return Gate(.relativeL2(1e-12), reason: "float64 against float64: 2^-53 per rounding, some thousands of them")
        case .float32:
            let limit = depth >= 20 ? 2e-5 : 1e-5
            guard min(reference, other) == .float64 else {
                return Gate(.relativeL2(limit), reason: "float32 against float32: two honest orders of summation differ by about 1e-6")
            }
            guard let yardstick else {
                return Gate(.relativeL2(limit), reason: "float32 against float64, without a float32 trace of PyTorch that would show how close it gets")
            }
            let reason = "float32 against float64: twice the error of PyTorch's own float32 (\(Decimal.short(yardstick))), but not below 2.5e-07"
            return Gate(.relativeL2(max(2 * yardstick, 2.5e-7)), reason: reason)
        case .float16, .bfloat16:
            return half(coarsest)
        }
    }

    /// Rounding errors of many operations add up like a random walk. Stock PyTorch in bfloat16 stays within 3 roundings (1.2e-2) of its
    /// float32 over the five blocks of a trained model; 8 leave room for another order of operations.
    private func half(_ format: Arithmetic) -> Gate {
        let growth = (Double(max(depth, 5)) / 5).squareRoot()
        let reason = "\(format.rawValue) arithmetic: one rounding is up to \(Decimal.short(format.unitRoundoff)), 8 of them over \(max(depth, 5)) blocks"
        return Gate(.relativeL2(8 * format.unitRoundoff * growth), reason: reason + (depth > 5 ? ", growing with the root of the depth" : ""))
    }

    private var picture: Gate {
        if let quantized = weights.gate(Probe(.bytes)) { return quantized }
        return half(arithmetic)
    }
}

/// How the weights behind a trace were stored, as its metadata say under `weights`.
package enum TraceWeights: String, Sendable {
    /// As in the checkpoint: nothing but arithmetic rounds.
    case exact
    /// Rounded to a 16-bit format other than the checkpoint's own.
    case float16, bfloat16
    /// Symmetric int8 per output channel, with or without int8 activations.
    case int8
    /// Codes of four bits with a multiplier for each group, in some weights or all.
    case int4

    /// The gate that quantized weights imply; nil where arithmetic alone decides.
    func gate(_ probe: Probe?) -> Gate? {
        switch self {
        case .exact, .float16, .bfloat16: nil
        case .int8 where probe?.kind == .bytes: Gate(.sqnr(30), reason: "int8 weights: a picture is judged loosely, the velocity tightly")
        case .int8 where probe?.kind == .output:
            Gate(.sqnr(28), reason: "int8 weights: 28 dB is the least a velocity may have; with identical inputs expect 33 or more")
        case .int4 where probe?.kind == .bytes || probe?.kind == .output:
            Gate(.sqnr(18), reason: "four-bit weights: below 18 dB a velocity or a picture is another one")
        case .int4:
            Gate(.sqnr(12), reason: "four-bit weights: a wrong tensor is 10 dB off or less; verify --against judges them by their own statistics")
        case .int8: Gate(.sqnr(20), reason: "int8 weights: single activations are honest down to 20 dB; verify --against judges them by their own statistics")
        }
    }
}

import Parity
import Tensors

/// How far a step repeats where floats are summed in another order: what a little noise on its input does to it.
enum Repetition {
    /// Relative size of the noise: some thirty times a rounding to float32, so that what lies near the edge of two integers shows.
    private static let noise: Float = 0x1p-19

    static func noisy(_ x: Tensor, _ numbers: inout TestNumbers) throws(MachineError) -> Tensor {
        let draw = numbers.vector(x.count)
        return try Tensor(x.shape, x.elements.enumerated().map { $1 * (1 + noise * draw[$0]) })
    }

    /// Relative L2 that another order of sums explains, of the outputs of an input and of copies with noise behind it.
    static func limit(_ outputs: [Tensor]) -> Double {
        max(HonestGate.floor, 4 * (outputs.dropFirst().map { Metrics(reference: outputs[0], other: $0).relativeL2 }.max() ?? 0))
    }
}

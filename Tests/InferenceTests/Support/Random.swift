import Tensors
import TestKit

extension SplitMix64 {
    /// Numbers spread evenly over -1 ... 1.
    mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: -1...1, using: &self) } }

    mutating func tensor(_ shape: Shape) throws -> Tensor { try Tensor(shape, floats(shape.elementCount)) }
}

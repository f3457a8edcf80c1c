package import Tensors

/// Formulas element by element, computed in double and rounded once.
extension Tensor {
    /// factor * self.
    package func scaled(by factor: Double) throws(MachineError) -> Tensor { try combined(self) { value, _ in value * factor } }

    /// The sum with another of as many elements.
    package func plus(_ other: Tensor) throws(MachineError) -> Tensor { try combined(other) { $0 + $1 } }

    /// A formula over the elements of two tensors of equally many, in the shape of the first.
    @inline(__always) func combined(_ other: Tensor, _ formula: (Double, Double) -> Double) throws(MachineError) -> Tensor {
        precondition(count == other.count, "\(shape) and \(other.shape)")
        var result = try Tensor(shape, zeroed: false)
        let (a, b) = (span, other.span)
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] = Float(formula(Double(a[index]), Double(b[index]))) }
        return result
    }

    /// The same over three.
    @inline(__always) func combined(
        _ second: Tensor, _ third: Tensor, _ formula: (Double, Double, Double) -> Double
    ) throws(MachineError) -> Tensor {
        precondition(count == second.count && count == third.count, "\(shape), \(second.shape) and \(third.shape)")
        var result = try Tensor(shape, zeroed: false)
        let (a, b, c) = (span, second.span, third.span)
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] = Float(formula(Double(a[index]), Double(b[index]), Double(c[index]))) }
        return result
    }
}

import CKernels
package import Tensors

extension CPU {
    /// x += other, of the same element count.
    func add(_ other: Tensor, to x: inout Tensor) {
        precondition(other.count == x.count)
        let (target, source) = unsafe (SharedPointer(x.mutablePointer), SharedPointer(reading: other.pointer))
        Parallel.forEach(x.count, grain: 4096) { range in
            let start = range.lowerBound
            unsafe ck_add(isa, target.pointer + start, source.pointer + start, target.pointer + start, range.count)
        }
    }

    /// x [rows, c] += gate [c] * other [rows, c].
    func add(_ other: Tensor, to x: inout Tensor, gate: Tensor) {
        let channels = gate.count
        precondition(other.count == x.count && x.count % channels == 0)
        let (target, source) = unsafe (SharedPointer(x.mutablePointer), SharedPointer(reading: other.pointer))
        let factor = unsafe SharedPointer(reading: gate.pointer)
        Parallel.forEach(x.count / channels, grain: 8) { range in
            let start = range.lowerBound * channels
            unsafe ck_residual_gate(isa, target.pointer + start, factor.pointer, source.pointer + start, range.count, channels)
        }
    }

    /// a + b, in a tensor of its own.
    package func sum(_ a: Tensor, _ b: Tensor) throws(MachineError) -> Tensor {
        var result = try a.copy()
        add(b, to: &result)
        return result
    }

    /// [.., 2h] to [.., h]: first half * silu(second half), as GLUMBConv gates.
    package func siluGated(_ u: Tensor) throws(MachineError) -> Tensor {
        let hidden = u.shape[u.shape.rank - 1] / 2
        var result = try Tensor(Shape(u.shape.extents.dropLast() + [hidden]), zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: u.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(result.count / hidden, grain: 4) { range in
            let start = range.lowerBound
            unsafe ck_glu_silu(isa, source.pointer + start * 2 * hidden, target.pointer + start * hidden, range.count, hidden)
        }
        return result
    }

    /// [rows, 2h] to [rows, h]: gelu_tanh(first half) * second half, as Gemma's MLP gates.
    package func geluGated(_ u: Tensor) throws(MachineError) -> Tensor {
        let hidden = u.columns / 2
        var result = try Tensor([u.rows, hidden], zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: u.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(u.rows) { range in
            for row in range {
                let gate = unsafe source.pointer + row * 2 * hidden
                unsafe ck_geglu_tanh(isa, gate, gate + hidden, target.pointer + row * hidden, hidden)
            }
        }
        return result
    }
}

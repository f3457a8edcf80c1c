import CKernels
package import Tensors

extension Tensor {
    /// self += other, of the same element count.
    mutating func add(_ other: Tensor) {
        precondition(other.count == count)
        let (target, source) = unsafe (SharedPointer(mutablePointer), SharedPointer(reading: other.pointer))
        Parallel.forEach(count, grain: 4096) { range in
            let start = range.lowerBound
            unsafe ck_add(isa, target.pointer + start, source.pointer + start, target.pointer + start, range.count)
        }
    }

    /// self [rows, c] += gate [c] * other [rows, c].
    mutating func add(_ other: Tensor, gate: Tensor) {
        let channels = gate.count
        precondition(other.count == count && count % channels == 0)
        let (target, source) = unsafe (SharedPointer(mutablePointer), SharedPointer(reading: other.pointer))
        let factor = unsafe SharedPointer(reading: gate.pointer)
        Parallel.forEach(count / channels, grain: 8) { range in
            let start = range.lowerBound * channels
            unsafe ck_residual_gate(isa, target.pointer + start, factor.pointer, source.pointer + start, range.count, channels)
        }
    }

    /// Row `index` of a matrix, as a tensor of its own.
    func row(_ index: Int) throws(AllocationError) -> Tensor {
        var result = try Tensor([columns], zeroed: false)
        unsafe result.mutablePointer.update(from: pointer + index * columns, count: columns)
        return result
    }

    /// self + other, in a tensor of its own.
    func adding(_ other: Tensor) throws(AllocationError) -> Tensor {
        var result = try copy()
        result.add(other)
        return result
    }
}

/// Gated units: a product of one half of the channels with an activation of the other.
package enum GatedUnit {
    /// [.., 2h] to [.., h]: first half * silu(second half), as GLUMBConv gates.
    package static func silu(_ u: Tensor) throws(AllocationError) -> Tensor {
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
    package static func gelu(_ u: Tensor) throws(AllocationError) -> Tensor {
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

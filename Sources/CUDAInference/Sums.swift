internal import CGPUKernels
package import Tensors

extension Engine {
    /// a + b, of equally many elements, in the shape of a.
    package func sum(_ a: DeviceRows, _ b: DeviceRows) throws(MachineError) -> DeviceRows {
        precondition(a.count == b.count)
        let result = try fresh(a.shape)
        try add(b.address, base: a.address, to: result)
        return result
    }

    /// Updates x += other, of equally many elements.
    func add(_ other: DeviceRows, to x: inout DeviceRows) throws(MachineError) {
        precondition(other.count == x.count)
        try own(&x)
        try add(other.address, base: 0, to: x)
    }

    private func add(_ x: UInt64, base: UInt64, to y: DeviceRows) throws(MachineError) {
        let argument = cg_add(x: x, base: base, gate: 0, y: y.address, count: UInt32(y.count), columns: cg_int(y.channels))
        try launch("add", grid: (Self.pieces(y.count, of: 1024), 1, 1), argument)
    }
}

internal import CGPUKernels
package import Tensors

extension Engine {
    /// `[2h, 2w, c]` to `[h, w, 4c]`.
    package func unshuffled(_ map: DeviceRows) throws(MachineError) -> DeviceRows {
        precondition(map.shape.rank == 3 && map.shape[0] % 2 == 0 && map.shape[1] % 2 == 0)
        let result = try fresh([map.shape[0] / 2, map.shape[1] / 2, 4 * map.channels])
        let argument = cg_shuffle(
            x: map.address, y: result.address, base: 0, height: cg_int(result.shape[0]), width: cg_int(result.shape[1]), channels: cg_int(map.channels),
            inputs: 0)
        try launch("unshuffle", grid: (Self.pieces(map.count, of: 1024), 1, 1), argument)
        return result
    }

    /// Updates y `[.., out]` += x `[.., in]`: each channel repeated out / in times, or means over in / out consecutive ones.
    package func addShortcut(_ x: DeviceRows, to y: inout DeviceRows) throws(MachineError) {
        precondition(x.rows == y.rows && (x.channels % y.channels == 0 || y.channels % x.channels == 0))
        try own(&y)
        let argument = cg_shortcut(
            x: x.address, y: y.address, count: UInt32(y.count), inputs: cg_int(x.channels), outputs: cg_int(y.channels), width: 0)
        try launch("add_shortcut", grid: (Self.pieces(y.count, of: 1024), 1, 1), argument)
    }
}

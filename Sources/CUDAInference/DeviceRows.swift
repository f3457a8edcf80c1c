internal import CUDADriver
package import Tensors

/// Float32 values on a device, dense. Copies of the value share them.
package struct DeviceRows: Sendable {
    package let shape: Shape
    fileprivate(set) var block: Engine.Block
    /// Bytes of the block before the first value.
    fileprivate(set) var offset = 0

    var count: Int { shape.elementCount }
    var byteCount: Int { count * MemoryLayout<Float>.stride }
    var channels: Int { shape[shape.rank - 1] }
    /// Rows of channels.
    var rows: Int { count / channels }
    /// Aligned to 16 bytes.
    var address: UInt64 { block.address + UInt64(offset) }
    var slice: DeviceSlice { block.slice(offset + byteCount)[offset..<offset + byteCount] }

    /// The same values, shared.
    func reshaped(_ shape: Shape) -> DeviceRows {
        precondition(shape.elementCount == count)
        return DeviceRows(shape: shape, block: block, offset: offset)
    }
}

extension Engine {
    /// Values that are going to be written, all of them.
    func fresh(_ shape: Shape) throws(MachineError) -> DeviceRows {
        DeviceRows(shape: shape, block: try take(shape.elementCount * MemoryLayout<Float>.stride))
    }

    /// Makes values that others share a copy, to be updated.
    func own(_ rows: inout DeviceRows) throws(MachineError) {
        guard !isKnownUniquelyReferenced(&rows.block) else { return }
        let (from, copy) = (rows.slice, try fresh(rows.shape))
        try onDevice { () throws(DeviceError) in try stream.copy(from, to: copy.slice) }
        rows = copy
    }

    package func rows(from tensor: Tensor) throws(MachineError) -> DeviceRows {
        let rows = try fresh(tensor.shape)
        let bytes = unsafe UnsafeRawBufferPointer(start: tensor.pointer, count: rows.byteCount)
        defer { withExtendedLifetime(tensor) {} }
        try onDevice { () throws(DeviceError) in try unsafe stream.upload(bytes, to: rows.slice) }
        return rows
    }

    package func tensor(from rows: DeviceRows) throws(MachineError) -> Tensor {
        var tensor = try Tensor(rows.shape, zeroed: false)
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: tensor.mutablePointer, count: rows.byteCount)
        defer { withExtendedLifetime(tensor) {} }
        try onDevice { () throws(DeviceError) in try unsafe stream.download(rows.slice, to: bytes) }
        return tensor
    }
}

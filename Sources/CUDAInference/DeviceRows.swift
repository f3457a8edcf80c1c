internal import CUDADriver
package import Tensors

/// Float32 values on a device, dense. Copies of the value share them.
package struct DeviceRows: Sendable {
    package let shape: Shape
    fileprivate(set) var block: Engine.Block

    var count: Int { shape.elementCount }
    var byteCount: Int { count * MemoryLayout<Float>.stride }
    var channels: Int { shape[shape.rank - 1] }
    /// Rows of channels.
    var rows: Int { count / channels }
    var address: UInt64 { block.address }
}

extension Engine {
    /// Values that are going to be written, all of them.
    func fresh(_ shape: Shape) throws(CUDAError) -> DeviceRows {
        DeviceRows(shape: shape, block: try take(shape.elementCount * MemoryLayout<Float>.stride))
    }

    /// Makes values that others share a copy, to be updated.
    func own(_ rows: inout DeviceRows) throws(CUDAError) {
        guard !isKnownUniquelyReferenced(&rows.block) else { return }
        let (copy, bytes) = (try fresh(rows.shape), rows.byteCount)
        let from = rows.block.slice(bytes)
        try onDevice { () throws(DeviceError) in try stream.copy(from, to: copy.block.slice(bytes)) }
        rows = copy
    }

    package func rows(from tensor: Tensor) throws(CUDAError) -> DeviceRows {
        let rows = try fresh(tensor.shape)
        let bytes = unsafe UnsafeRawBufferPointer(start: tensor.pointer, count: rows.byteCount)
        defer { withExtendedLifetime(tensor) {} }
        try onDevice { () throws(DeviceError) in try unsafe stream.upload(bytes, to: rows.block.slice(rows.byteCount)) }
        return rows
    }

    package func tensor(from rows: DeviceRows) throws(CUDAError) -> Tensor {
        var tensor = try onHost { () throws(MachineError) in try Tensor(rows.shape, zeroed: false) }
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: tensor.mutablePointer, count: rows.byteCount)
        defer { withExtendedLifetime(tensor) {} }
        try onDevice { () throws(DeviceError) in try unsafe stream.download(rows.block.slice(rows.byteCount), to: bytes) }
        return tensor
    }
}

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

    /// Where a value is, counted in the order of all.
    func address(at index: Int) -> UInt64 { address + UInt64(index * MemoryLayout<Float>.stride) }

    /// The same values, shared.
    func reshaped(_ shape: Shape) -> DeviceRows {
        precondition(shape.elementCount == count)
        return DeviceRows(shape: shape, block: block, offset: offset)
    }
}

extension Engine {
    /// What kernels count to (CGPUKernels.h).
    private static let mostValues = (1 << 32) - 1024

    /// Values that are going to be written, all of them.
    func fresh(_ shape: Shape) throws(MachineError) -> DeviceRows {
        try check(shape)
        return DeviceRows(shape: shape, block: try take(shape.elementCount * MemoryLayout<Float>.stride))
    }

    private func check(_ shape: Shape) throws(MachineError) {
        guard shape.elementCount <= Self.mostValues else {
            throw .device(
                "the GPU's kernels count to \(Self.mostValues), found \(shape.elementCount) values of \(shape); ask for a smaller picture, or compute on the CPU"
            )
        }
    }

    /// Makes values that others share a copy, to be updated.
    func own(_ rows: inout DeviceRows) throws(MachineError) {
        guard !isKnownUniquelyReferenced(&rows.block) else { return }
        rows = try copy(rows)
    }

    /// A row of a matrix, `[columns]`: shared where kernels may read it in its place.
    package func row(_ index: Int, of x: DeviceRows) throws(MachineError) -> DeviceRows {
        precondition((0..<x.rows).contains(index))
        var row = DeviceRows(shape: [x.channels], block: x.block, offset: x.offset + index * x.channels * MemoryLayout<Float>.stride)
        if row.offset % Self.alignment != 0 { row = try copy(row) }
        return row
    }

    /// What kernels want the first value of rows to be aligned to.
    private static let alignment = 16

    /// The same values in memory of their own.
    func copy(_ rows: DeviceRows) throws(MachineError) -> DeviceRows {
        let copy = try fresh(rows.shape)
        try onDevice { () throws(DeviceError) in try work().copy(rows.slice, to: copy.slice) }
        return copy
    }

    /// Rows `[first rows + rows, columns.count]`: of one matrix, and below them some columns of another.
    func stacked(_ first: DeviceRows?, _ columns: Range<Int>, of x: DeviceRows) throws(MachineError) -> DeviceRows {
        let (above, width, size) = (first?.rows ?? 0, columns.count, MemoryLayout<Float>.stride)
        precondition(first.map { $0.channels == width } ?? true)
        let result = try fresh([above + x.rows, width])
        let start = above * width * size
        try onDevice { () throws(DeviceError) in
            if let first { try work().copy(first.slice, to: result.slice[0..<start]) }
            let from = x.slice[columns.lowerBound * size..<x.byteCount]
            try work().copy(
                rows: x.rows, of: width * size, from: from, pitch: x.channels * size, to: result.slice[start..<result.byteCount], pitch: width * size)
        }
        return result
    }

    /// Writes rows into the columns of others from one on.
    func copy(_ x: DeviceRows, to others: DeviceRows, column: Int) throws(MachineError) {
        let (width, pitch, start) = (x.channels * MemoryLayout<Float>.stride, others.channels * MemoryLayout<Float>.stride, column * MemoryLayout<Float>.stride)
        precondition(x.rows == others.rows && start + width <= pitch)
        try onDevice { () throws(DeviceError) in
            try work().copy(rows: x.rows, of: width, from: x.slice, pitch: width, to: others.slice[start..<others.byteCount], pitch: pitch)
        }
    }

    package func rows(from tensor: Tensor) throws(MachineError) -> DeviceRows {
        try check(tensor.shape)
        let rows = DeviceRows(shape: tensor.shape, block: try takeForUpload(tensor.shape.elementCount * MemoryLayout<Float>.stride))
        let bytes = unsafe UnsafeRawBufferPointer(start: tensor.pointer, count: rows.byteCount)
        defer { withExtendedLifetime(tensor) {} }
        try upload { _ throws(DeviceError) in
            try unsafe uploads.upload(to: rows.slice) { offset, piece in
                unsafe piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + piece.count]))
            }
        }
        return rows
    }

    package func tensor(from rows: DeviceRows) throws(MachineError) -> Tensor {
        var tensor = try Tensor(rows.shape, zeroed: false)
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: tensor.mutablePointer, count: rows.byteCount)
        defer { withExtendedLifetime(tensor) {} }
        try onDevice { () throws(DeviceError) in try unsafe work().download(rows.slice, to: bytes) }
        try beyond.check()
        return tensor
    }
}

import CKernels
package import Tensors

/// A dense 3x3 convolution with padding 1 over channels-last maps: unfolded band by band, then a linear.
package struct Convolution: Sendable {
    /// `[out, 9 * in]`, taps outermost.
    private let linear: Linear
    private let inputs: Int

    package enum Sampling {
        case same
        /// Every second output row and column.
        case stride2
        /// The input is first doubled in both directions by repetition (nearest interpolation).
        case upsampled
    }

    /// Bytes of unfolded input that are held at once: enough for OpenBLAS to run at full rate, little beside the maps.
    private static let bandBytes = 32 << 20

    package init(_ linear: Linear) {
        self.linear = linear
        inputs = linear.inputs / 9
    }

    /// x [h, w, in] to [h', w', out]: h' = h, ceil(h / 2) or 2h.
    package func callAsFunction(_ x: Tensor, _ sampling: Sampling = .same) throws(AllocationError) -> Tensor {
        let (height, width) = sampling == .upsampled ? (2 * x.shape[0], 2 * x.shape[1]) : (x.shape[0], x.shape[1])
        precondition(x.shape[2] == inputs)
        let step = sampling == .stride2 ? 2 : 1
        let (rows, columns) = (ck_conv3x3_output(height, step), ck_conv3x3_output(width, step))
        var result = try Tensor([rows, columns, linear.outputs], zeroed: false)
        let rowBytes = columns * 9 * inputs * MemoryLayout<Float>.stride
        let band = min(rows, max(1, Self.bandBytes / rowBytes))
        var unfolded = try Tensor([band * columns, 9 * inputs], zeroed: false)
        var doubled = try Tensor(sampling == .upsampled ? [band + 2, width, inputs] : [0], zeroed: false)
        for start in Swift.stride(from: 0, to: rows, by: band) {
            let count = min(band, rows - start)
            defer { withExtendedLifetime((x, doubled, unfolded, result)) {} }
            let out = unsafe SharedPointer(unfolded.mutablePointer)
            // Upsampled rows exist for the band and its halo only; at the picture's edges the kernel pads with zeros by itself.
            let first = sampling == .upsampled ? max(0, start - 1) : 0
            let available = sampling == .upsampled ? min(rows, start + count + 1) - first : height
            if sampling == .upsampled { Self.double(x, rows: first..<first + available, into: &doubled) }
            let source = unsafe SharedPointer(reading: sampling == .upsampled ? doubled.pointer : x.pointer)
            Parallel.forEach(count) { range in
                let row = start - first + range.lowerBound
                unsafe ck_im2col3x3(
                    isa, source.pointer, out.pointer + range.lowerBound * columns * 9 * inputs, available, width, inputs, step, row, row + range.count)
            }
            unsafe try linear.apply(
                unfolded.pointer, rows: count * columns, to: result.mutablePointer + start * columns * linear.outputs, stride: linear.outputs)
        }
        return result
    }

    /// Rows `rows` of the map twice as high and wide, in which every pixel of `x` stands four times.
    private static func double(_ x: Tensor, rows: Range<Int>, into result: inout Tensor) {
        let (width, channels) = (x.shape[1], x.shape[2])
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(rows.count) { range in
            for index in range {
                let line = unsafe source.pointer + (rows.lowerBound + index) / 2 * width * channels
                for column in 0..<2 * width {
                    unsafe (target.pointer + (index * 2 * width + column) * channels).update(from: line + column / 2 * channels, count: channels)
                }
            }
        }
    }
}

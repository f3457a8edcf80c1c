package import Tensors

/// Between channels-first `[c, h, w]`, as latents, pictures and traces are, and channels-last `[h, w, c]`, as the runtime computes.
package enum ImageLayout {
    package static func channelsLast(_ x: Tensor) throws(MachineError) -> Tensor {
        try transpose(x, rows: x.shape[0], columns: x.shape[1] * x.shape[2], as: [x.shape[1], x.shape[2], x.shape[0]])
    }

    package static func channelsFirst(_ x: Tensor) throws(MachineError) -> Tensor {
        try transpose(x, rows: x.shape[0] * x.shape[1], columns: x.shape[2], as: [x.shape[2], x.shape[0], x.shape[1]])
    }

    package static func transpose(_ x: Tensor, rows: Int, columns: Int, as shape: Shape) throws(MachineError) -> Tensor {
        var result = try Tensor(shape, zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(columns, grain: 16) { range in
            for column in range {
                for row in 0..<rows { unsafe target.pointer[column * rows + row] = source.pointer[row * columns + column] }
            }
        }
        return result
    }
}

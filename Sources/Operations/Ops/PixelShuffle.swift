package import Tensors

extension CPU {
    package func unshuffled(_ x: Tensor) throws(MachineError) -> Tensor {
        let (height, width, channels) = (x.shape[0] / 2, x.shape[1] / 2, x.shape[2])
        precondition(x.shape[0] % 2 == 0 && x.shape[1] % 2 == 0)
        var result = try Tensor([height, width, 4 * channels], zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(height) { range in
            for y in range {
                for x in 0..<width {
                    let to = unsafe target.pointer + (y * width + x) * 4 * channels
                    for corner in 0..<4 {
                        let from = unsafe source.pointer + ((2 * y + corner / 2) * 2 * width + 2 * x + corner % 2) * channels
                        for channel in 0..<channels { unsafe to[4 * channel + corner] = from[channel] }
                    }
                }
            }
        }
        return result
    }
}

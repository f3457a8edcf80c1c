import Tensors

extension RowChain {
    /// What the chain of such operations takes: its result, and beside the input the rings and the scratch of all.
    static func footprint(_ operations: [RowWork], _ height: Int, _ width: Int, _ channels: Int, _ cpu: CPU) -> Footprint {
        var map = (height: height, width: width, channels: channels)
        var bytes = 0
        func ring(_ map: (height: Int, width: Int, channels: Int), rows: Int? = nil, quantizes: Bool) {
            bytes += RowRing.byteCount(
                height: map.height, width: map.width, channels: map.channels, batch: rows ?? RowPieces.rows(width: map.width), quantizes: quantizes, on: cpu)
        }
        func convolve(_ weight: WeightSize, often: Bool, quantizes: Bool) {
            if often, cpu.usesWinograd, !Convolution.multipliesIntegers(weight.form) {
                bytes += Memory.byteCount(of: Parallel.threads * Convolution.scratchBytes(map.channels))
            }
            ring((map.height, map.width, weight.shape.rows), quantizes: quantizes)
        }

        ring(map, quantizes: operations.first?.readsIntegers ?? false)
        for (index, operation) in operations.enumerated() {
            let (quantizes, result) = (index + 1 < operations.count && operations[index + 1].readsIntegers, operation.result(of: map))
            switch operation {
            case .convolution(let weight): convolve(weight, often: false, quantizes: quantizes)
            case .halving: ring(result, quantizes: quantizes)
            case .doubling: ring(result, rows: 2 * RowPieces.rows(width: map.width), quantizes: quantizes)
            case .shuffling(let weight, let often):
                convolve(weight, often: often, quantizes: false)
                ring(result, quantizes: quantizes)
            case .residual(let first, let second):
                convolve(first, often: true, quantizes: Convolution.multipliesIntegers(second.form))
                convolve(second, often: true, quantizes: quantizes)
            case .norm: ring(result, quantizes: quantizes)
            }
            map = result
        }
        return Footprint(kept: Tensor.byteCount(map.height * map.width * map.channels), passing: bytes)
    }
}

extension RowWork {
    /// As `RowOperation` says it.
    fileprivate var readsIntegers: Bool {
        switch self {
        case .convolution(let weight), .halving(let weight), .doubling(let weight), .shuffling(let weight, _), .residual(let weight, _):
            Convolution.multipliesIntegers(weight.form)
        case .norm: false
        }
    }
}

internal import CGPUKernels
internal import CUDADriver
package import Operations
internal import Tensors

extension Engine {
    /// What `run` on a map takes: its result, and beside the map the rings and the most that is there of rows that nobody keeps.
    package func footprint(_ operations: [RowWork], height: Int, width: Int, channels: Int) -> Footprint {
        var (map, rings, most) = ((height: height, width: width, channels: channels), 0, 0)
        func plan(_ extents: (height: Int, width: Int, channels: Int), floats: Bool, codes: Bool) -> DeviceMapPlan {
            DeviceMapPlan(extents, floats: floats, codes: codes, cacheBytes: device.cacheBytes, ring: nil)
        }
        func add(_ extents: (height: Int, width: Int, channels: Int), _ reads: RowReads?, makes: (DeviceMapPlan) -> Int) {
            let plan = plan(extents, floats: reads?.floats ?? false, codes: reads?.codes ?? false)
            rings += plan.floatBytes + plan.codeBytes
            most = max(most, makes(plan))
        }
        /// Bytes of floats that a convolution makes and the map does not keep.
        func unkept(_ weight: WeightSize, _ sampling: Int, normed: Bool, _ reads: RowReads?) -> (DeviceMapPlan) -> Int {
            let fuses = Convolution.multipliesIntegers(weight.form) && Self.fuses(weight.shape.rows, sampling, normed: normed, codes: reads?.codes ?? false)
            return { reads?.floats == false && !fuses ? $0.batchBytes : 0 }
        }

        // Its floats are there already.
        rings += plan(map, floats: false, codes: operations.first?.reads.codes ?? false).codeBytes
        for (index, operation) in operations.enumerated() {
            let (reads, result) = (index + 1 < operations.count ? operations[index + 1].reads : nil, operation.result(of: map))
            switch operation {
            case .convolution(let weight): add(result, reads, makes: unkept(weight, cg_same, normed: false, reads))
            case .halving(let weight): add(result, reads, makes: unkept(weight, cg_stride2, normed: false, reads))
            case .doubling(let weight): add(result, reads, makes: unkept(weight, cg_doubled, normed: false, reads))
            // The convolution's rows have as many elements as those that they become.
            case .shuffling: add(result, reads) { $0.batchBytes + (reads?.floats == false ? $0.batchBytes : 0) }
            case .residual(let first, let second):
                let between = RowReads(integers: Convolution.multipliesIntegers(second.form))
                add((map.height, map.width, first.shape.rows), between, makes: unkept(first, cg_same, normed: false, between))
                add(result, reads, makes: unkept(second, cg_same, normed: true, reads))
            case .norm: add(result, reads) { reads?.floats == false ? $0.batchBytes : 0 }
            }
            map = result
        }
        return Footprint(kept: Self.size(for: 4 * map.height * map.width * map.channels), passing: rings + most)
    }
}

extension RowWork {
    /// As `RowOperation` says it, with shortcuts.
    fileprivate var reads: RowReads {
        switch self {
        case .convolution(let weight), .halving(let weight):
            RowReads(integers: Convolution.multipliesIntegers(weight.form))
        case .doubling(let weight), .shuffling(let weight, _): RowReads(integers: Convolution.multipliesIntegers(weight.form), addsFloats: true)
        case .residual(let first, _): RowReads(integers: Convolution.multipliesIntegers(first.form), addsFloats: true)
        case .norm: RowReads(integers: false)
        }
    }
}

internal import CGPUKernels
internal import CUDADriver
package import Operations
package import Tensors

extension Engine {
    /// The result `[h', w', c']` of operations on a map `[h, w, c]`, one after the other as a `DeviceChain`.
    package func run<E: Executor>(_ operations: [RowOperation<E>], on map: DeviceRows) throws(MachineError) -> DeviceRows
    where E.Convolution == DeviceConvolution, E.Norm == DeviceNorm {
        try run(operations, on: map, ring: nil)
    }

    /// - Parameter ring: rows of a ring, a power of two from 8 on. For tests; nil chooses by the device's cache.
    package func run<E: Executor>(_ operations: [RowOperation<E>], on map: DeviceRows, ring: Int?) throws(MachineError) -> DeviceRows
    where E.Convolution == DeviceConvolution, E.Norm == DeviceNorm {
        guard let first = operations.first else { return map }
        var chain = try DeviceChain(map, first.reads, ring, self)
        for (index, operation) in operations.enumerated() {
            let isLast = index + 1 == operations.count
            try chain.append(operation, isLast ? nil : operations[index + 1].reads)
        }
        return try chain.collect()
    }
}

/// Operations on a map on a device one after the other, as a stream of rows: the schedule is the CPU's, with rows enough at a time to fill the device.
///
/// Between two operations there are the newest rows in a ring, which the device's cache holds: codes and scales alone where only integers read them.
/// Only the map and the result are whole. The result does not depend on how many rows are made at a time.
struct DeviceChain {
    private let engine: Engine
    private let ring: Int?
    private var steps: [RowStep] = []
    private var last: DeviceMap
    private var result: DeviceRows?

    fileprivate init(_ map: DeviceRows, _ reads: RowReads, _ ring: Int?, _ engine: Engine) throws(MachineError) {
        (self.engine, self.ring) = (engine, ring)
        precondition(map.shape.rank == 3)
        let plan = DeviceMapPlan(
            (map.shape[0], map.shape[1], map.channels), floats: true, codes: reads.codes, cacheBytes: engine.device.cacheBytes, ring: ring)
        let source = try engine.map(plan, whole: map)
        last = source
        guard reads.codes, let floats = source.floats else { return }
        append(.same, reach: 0, to: source) { rows throws(MachineError) in try engine.quantize(floats, rows, of: source) }
    }

    /// - Parameter reads: what the next operation reads; nil of the last one's result.
    fileprivate mutating func append<E: Executor>(_ operation: RowOperation<E>, _ reads: RowReads?) throws(MachineError)
    where E.Convolution == DeviceConvolution, E.Norm == DeviceNorm {
        let (source, engine) = (last, engine)
        let (height, width) = (source.height, source.width)
        switch operation {
        case .convolution(let convolution, step: 1):
            try convolve(convolution, cg_same, .nothing, to: try target((height, width, convolution.outputs), reads))
        case .convolution(let convolution, let step):
            precondition(step == 2)
            try convolve(convolution, cg_stride2, .nothing, to: try target(((height + 1) / 2, (width + 1) / 2, convolution.outputs), reads))
        case .doubling(let convolution, let shortcut):
            try convolve(convolution, cg_doubled, shortcut ? .shortcut(source) : .nothing, to: try target((2 * height, 2 * width, convolution.outputs), reads))
        case .shuffling(let convolution, let shortcut):
            let target = try target((2 * height, 2 * width, convolution.outputs / 4), reads)
            append(.double, reach: 1, to: target) { rows throws(MachineError) in
                try engine.shuffle(convolution, source, shortcut ? source : nil, rows, of: target)
            }
        case .residual(let first, let activation, let second, let norm):
            let between = try target((height, width, first.outputs), RowReads(integers: second.isInteger))
            try convolve(first, cg_same, .activation(activation), to: between)
            try convolve(second, cg_same, .norm(norm, adding: source), to: try target((height, width, second.outputs), reads))
        case .norm(let norm, let activation):
            guard let floats = source.floats else { preconditionFailure("the map was not made for floats") }
            let target = try target((height, width, source.channels), reads)
            append(.same, reach: 0, to: target) { rows throws(MachineError) in
                try engine.norm(floats, by: norm, activation, adding: nil, to: try engine.floats(rows, of: target), rows, of: target)
            }
        }
    }

    /// The next map, of these extents.
    private mutating func target(_ map: (height: Int, width: Int, channels: Int), _ reads: RowReads?) throws(MachineError) -> DeviceMap {
        let plan = DeviceMapPlan(
            map, floats: reads?.floats ?? true, codes: reads?.codes ?? false, cacheBytes: engine.device.cacheBytes, ring: ring)
        guard reads == nil else { return try engine.map(plan) }
        let whole = try engine.fresh([map.height, map.width, map.channels])
        result = whole
        return try engine.map(plan, whole: whole)
    }

    private mutating func convolve(
        _ convolution: DeviceConvolution, _ sampling: Int, _ following: Engine.Following, to target: DeviceMap
    ) throws(MachineError) {
        let (source, engine) = (last, engine)
        let rate: RowStep.Rate = sampling == cg_same ? .same : sampling == cg_doubled ? .double : .half
        append(rate, reach: 1, to: target) { rows throws(MachineError) in
            try engine.convolve(convolution, source, sampling, then: following, rows: rows, of: target)
        }
    }

    private mutating func append(
        _ rate: RowStep.Rate, reach: Int, to target: DeviceMap, _ run: @escaping @Sendable (Range<Int>) throws(MachineError) -> Void
    ) {
        steps.append(RowStep(rate: rate, reach: reach, inputHeight: last.height, batch: target.plan.batch, run: run))
        last = target
    }

    /// Runs the chain.
    fileprivate func collect() throws(MachineError) -> DeviceRows {
        guard let result else { preconditionFailure("the last operation has a result") }
        if result.count > 0 { try RowStep.run(steps) }
        return result
    }
}

extension Engine {
    /// Rows of a convolution to four times the channels, which become two by two pixels.
    fileprivate func shuffle(
        _ convolution: DeviceConvolution, _ source: DeviceMap, _ shortcut: DeviceMap?, _ rows: Range<Int>, of target: DeviceMap
    ) throws(MachineError) {
        let (input, extents) = (rows.lowerBound / 2..<rows.upperBound / 2, (source.height, source.width, convolution.outputs))
        let plan = DeviceMapPlan(extents, floats: true, codes: false, cacheBytes: device.cacheBytes, ring: nil)
        let bytes = plan.rowBytes.floats
        let lines = DeviceLines(try take(input.count * bytes), for: input, rowBytes: bytes, height: source.height)
        try convolve(convolution, source, cg_same, then: .nothing, rows: input, of: DeviceMap(plan: plan, floats: lines, codes: nil))
        let floats = try floats(rows, of: target)
        try shuffle(lines, shortcut, to: floats, rows, of: target)
        try quantize(floats, rows, of: target)
    }
}

/// How an operation reads the map before it.
struct RowReads: Equatable {
    let floats: Bool
    let codes: Bool

    /// Codes where integers are multiplied; floats elsewhere, and where they are added besides.
    init(integers: Bool, addsFloats: Bool = false) { (floats, codes) = (addsFloats || !integers, integers) }
}

extension RowOperation where E.Convolution == DeviceConvolution {
    var reads: RowReads {
        switch self {
        case .convolution(let convolution, _): RowReads(integers: convolution.isInteger)
        case .doubling(let convolution, let shortcut), .shuffling(let convolution, let shortcut):
            RowReads(integers: convolution.isInteger, addsFloats: shortcut)
        case .residual(let first, _, _, _): RowReads(integers: first.isInteger, addsFloats: true)
        case .norm: RowReads(integers: false)
        }
    }
}

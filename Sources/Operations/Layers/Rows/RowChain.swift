import CKernels
package import Tensors

extension CPU {
    /// The result `[h', w', c']` of operations on a map `[h, w, c]`, one after the other as a `RowChain`.
    ///
    package func run(_ operations: [RowOperation<CPU>], on x: Tensor) throws(MachineError) -> Tensor { try run(operations, on: x, batch: nil) }

    /// - Parameter batch: the most rows to make at once; a multiple of 4. For tests; nil chooses by the width.
    package func run(_ operations: [RowOperation<CPU>], on x: Tensor, batch: Int?) throws(MachineError) -> Tensor {
        var chain = try RowChain(x, quantizes: operations.first?.readsIntegers ?? false, batch, self)
        for (index, operation) in operations.enumerated() {
            let isLast = index + 1 == operations.count
            try chain.append(operation, quantizes: !isLast && operations[index + 1].readsIntegers)
        }
        return try chain.collect()
    }
}

/// Operations on an image one after the other, as a stream of rows: each is held up no longer than until the next one can go on.
///
/// Between two operations there are some rows and never a whole image, so that a map of any height passes through the caches;
/// only the input and the result are whole. Every row is computed once. The result does not depend on how many rows are made at
/// a time.
struct RowChain {
    private let cpu: CPU
    private var steps: [RowStep] = []
    private var last: RowRing

    private let batch: Int?

    private func rows(_ width: Int) -> Int { batch ?? RowPieces.rows(width: width) }

    fileprivate init(_ x: Tensor, quantizes: Bool, _ batch: Int?, _ cpu: CPU) throws(MachineError) {
        (self.batch, self.cpu) = (batch, cpu)
        let (height, width, channels) = (x.shape[0], x.shape[1], x.shape[2])
        let rows = batch ?? RowPieces.rows(width: width)
        let ring = try RowRing(height: height, width: width, channels: channels, batch: rows, quantizes: quantizes, on: cpu)
        last = ring
        steps.append(
            RowStep(rate: .same, reach: 0, inputHeight: height, batch: rows) { rows in
                RowPieces.forEach(rows, width: width) { row, columns in
                    unsafe ring.pixel(row, columns.lowerBound).update(
                        from: x.pointer + (row * width + columns.lowerBound) * channels, count: columns.count * channels)
                    ring.seal(row, columns)
                }
            })
    }

    fileprivate mutating func append(_ operation: RowOperation<CPU>, quantizes: Bool) throws(MachineError) {
        switch operation {
        case .convolution(let convolution, let step): try convolve(convolution, step: step, quantizes: quantizes)
        case .doubling(let convolution, let shortcut): try double(convolution, shortcut, quantizes)
        case .shuffling(let convolution, let shortcut):
            let source = last
            try convolve(convolution, quantizes: false)
            try shuffle(shortcut ? source : nil, quantizes)
        case .residual(let first, let activation, let second, let norm):
            let source = last
            try convolve(first, quantizes: second.isInteger) { ring, row, columns in ring.activate(activation, row, columns) }
            try convolve(second, quantizes: quantizes) { ring, row, columns in ring.write(norm, of: ring, row, columns, adding: source) }
        case .norm(let norm, let activation):
            let source = last
            try append(.same, reach: 0, height: source.height, width: source.width, channels: source.channels, quantizes: quantizes) { ring, row, columns in
                ring.write(norm, of: source, row, columns, adding: nil)
                ring.activate(activation, row, columns)
            }
        }
    }

    /// A step that makes its rows piece by piece; `make` writes the pixels.
    private mutating func append(
        _ rate: RowStep.Rate, reach: Int, height: Int, width: Int, channels: Int, quantizes: Bool,
        _ make: @escaping @Sendable (RowRing, _ row: Int, _ columns: Range<Int>) -> Void
    ) throws(MachineError) {
        let batch = rows(width)
        let ring = try RowRing(height: height, width: width, channels: channels, batch: batch, quantizes: quantizes, on: cpu)
        steps.append(
            RowStep(rate: rate, reach: reach, inputHeight: last.height, batch: batch) { rows in
                RowPieces.forEach(rows, width: width) { row, columns in
                    make(ring, row, columns)
                    ring.seal(row, columns)
                }
            })
        last = ring
    }

    private mutating func convolve(
        _ convolution: Convolution, step: Int = 1, quantizes: Bool, then finish: (@Sendable (RowRing, Int, Range<Int>) -> Void)? = nil
    ) throws(MachineError) {
        let source = last
        precondition(source.channels == convolution.inputs)
        if convolution.isWinograd && step == 1 { return try convolvePairs(convolution, quantizes: quantizes, then: finish) }
        try append(
            step == 1 ? .same : .half, reach: 1, height: (source.height + step - 1) / step, width: (source.width + step - 1) / step,
            channels: convolution.outputs, quantizes: quantizes
        ) { ring, row, columns in
            unsafe convolution.apply(source, row: row, step: step, columns: columns, to: ring.pixel(row, 0))
            finish?(ring, row, columns)
        }
    }

    /// Winograd's algorithm makes two rows at a time, with scratch memory.
    private mutating func convolvePairs(
        _ convolution: Convolution, quantizes: Bool, then finish: (@Sendable (RowRing, Int, Range<Int>) -> Void)?
    ) throws(MachineError) {
        let (source, batch, scratchBytes) = (last, rows(last.width), Convolution.scratchBytes(convolution.inputs))
        let ring = try RowRing(height: source.height, width: source.width, channels: convolution.outputs, batch: batch, quantizes: quantizes, on: cpu)
        let scratch = try Buffer(byteCount: Parallel.threads * scratchBytes, zeroed: false)
        steps.append(
            RowStep(rate: .same, reach: 1, inputHeight: source.height, batch: batch, unit: 2) { rows in
                RowPieces.forEachPair(rows, width: source.width) { worker, pair, columns in
                    let own = unsafe scratch.mutableBytes.baseAddress! + worker * scratchBytes
                    unsafe convolution.applyWinograd(source, rows: pair, columns: columns, to: ring, scratch: own)
                    for row in pair {
                        finish?(ring, row, columns)
                        ring.seal(row, columns)
                    }
                }
            })
        last = ring
    }

    private mutating func double(_ convolution: Convolution, _ shortcut: Bool, _ quantizes: Bool) throws(MachineError) {
        let (source, limit) = (last, Int(CK_UPCONV_MAX_ROWS))
        precondition(source.channels == convolution.inputs)
        let batch = 2 * rows(source.width)
        let ring = try RowRing(height: 2 * source.height, width: 2 * source.width, channels: convolution.outputs, batch: batch, quantizes: quantizes, on: cpu)
        steps.append(
            RowStep(rate: .double, reach: 1, inputHeight: source.height, batch: batch) { rows in
                let input = rows.lowerBound / 2..<rows.upperBound / 2
                RowPieces.forEach(0..<(input.count + limit - 1) / limit, width: source.width) { group, columns in
                    let start = input.lowerBound + group * limit
                    let lines = start..<min(start + limit, input.upperBound)
                    unsafe convolution.applyDoubled(source, rows: lines, columns: columns, to: ring)
                    let doubled = 2 * columns.lowerBound..<2 * columns.upperBound
                    for row in 2 * lines.lowerBound..<2 * lines.upperBound {
                        if shortcut { ring.addShortcut(source, row, doubled) }
                        ring.seal(row, doubled)
                    }
                }
            })
        last = ring
    }

    /// Rows of four times the channels become two rows of twice the pixels, in torch's order of pixel_shuffle.
    private mutating func shuffle(_ shortcut: RowRing?, _ quantizes: Bool) throws(MachineError) {
        let source = last
        let channels = source.channels / 4
        try append(.double, reach: 0, height: 2 * source.height, width: 2 * source.width, channels: channels, quantizes: quantizes) { ring, row, columns in
            for column in columns {
                let (from, to) = unsafe (source.pixel(row / 2, column / 2) + row % 2 * 2 + column % 2, ring.pixel(row, column))
                for channel in 0..<channels { unsafe to[channel] = from[4 * channel] }
            }
            if let shortcut { ring.addShortcut(shortcut, row, columns) }
        }
    }

    /// Runs the chain and gathers the rows it ends with.
    fileprivate mutating func collect() throws(MachineError) -> Tensor {
        let source = last
        var result = try Tensor([source.height, source.width, source.channels], zeroed: false)
        let target = unsafe SharedPointer(result.mutablePointer)
        let line = source.width * source.channels
        steps.append(
            RowStep(rate: .same, reach: 0, inputHeight: source.height, batch: rows(source.width)) { rows in
                for row in rows { unsafe (target.pointer + row * line).update(from: source.pixel(row, 0), count: line) }
            })
        defer { withExtendedLifetime(result) {} }
        try RowStep.run(steps)
        return result
    }
}

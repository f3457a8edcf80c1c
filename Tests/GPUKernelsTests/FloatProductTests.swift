import CGPUKernels
import TestKit
import Testing

/// Products in float32 of weights of every type, against sums in double of the same numbers.
@Suite struct FloatProductTests {
    struct Case: CustomTestStringConvertible {
        let rows: Int, depth: Int, columns: Int, weight: Int
        var stride = 0, silu = false, adds = false, narrows = 0
        var testDescription: String { "\(rows) rows of \(depth) by \(columns), weights of type \(weight)" }
    }
    static let cases = [
        Case(rows: 70, depth: 101, columns: 37, weight: cg_f32),
        Case(rows: 33, depth: 512, columns: 70, weight: cg_bf16, stride: 520, silu: true),
        Case(rows: 131, depth: 64, columns: 30, weight: cg_f16, adds: true),
        Case(rows: 5, depth: 300, columns: 65, weight: cg_i8, adds: true),
        Case(rows: 1, depth: 1000, columns: 30, weight: cg_i8, silu: true),
        Case(rows: 1, depth: 999, columns: 30, weight: cg_bf16, adds: true),
        Case(rows: 1, depth: 300, columns: 65, weight: cg_bf16, narrows: cg_bf16),
        Case(rows: 1, depth: 300, columns: 65, weight: cg_f16, narrows: cg_f16),
    ]

    @Test(arguments: ["gemm_f32_128x128", "gemm_f32_32x64", "row_product"], cases) func product(_ name: String, _ test: Case) throws {
        let (rows, depth, columns, stride) = (test.rows, test.depth, test.columns, max(test.stride, test.depth))
        let isRow = name == "row_product"
        guard rows == 1 && test.narrows == 0 || isRow == (rows == 1) else { return }
        var random = SplitMix64(seed: UInt64(depth))
        let (x, bias, gate, start) = (random.floats(rows * stride), random.floats(columns), random.floats(columns), random.floats(rows * columns))
        var (w, s) = (random.floats(columns * depth), random.floats(columns))
        let gpu = try GPU()
        let (input, offset, factor, output) = (try gpu.values(x), try gpu.values(bias), try gpu.values(gate), try gpu.values(start))
        let scales = try gpu.values(s)
        var kept: Any = scales
        var argument = cg_floats()
        switch test.weight {
        case cg_bf16:
            let values = try gpu.values(w.map { UInt16($0.bitPattern >> 16) })
            (argument.w, kept, w) = (values.address, values, w.map { Float(bitPattern: $0.bitPattern & 0xFFFF_0000) })
        case cg_f16:
            let values = try gpu.values(w.map { Float16($0) })
            (argument.w, kept, w) = (values.address, values, w.map { Float(Float16($0)) })
        case cg_i8:
            let codes = random.codes(columns * depth)
            let values = try gpu.values(codes)
            (argument.w, kept, w) = (values.address, values, codes.indices.map { Float(codes[$0]) * s[$0 / depth] })
        default:
            let values = try gpu.values(w)
            (argument.w, kept) = (values.address, values)
        }
        s = []
        func rounded(_ value: Float) -> Double {
            guard test.narrows > 0 else { return Double(value) }
            guard test.narrows == cg_bf16 else { return Double(Float16(value)) }
            let bits = value.bitPattern
            return Double(Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000))
        }
        var (exact, magnitudes): ([Double], [Double]) = ([], [])
        for row in 0..<rows {
            for column in 0..<columns {
                var (sum, size) = (Double(bias[column]), abs(Double(bias[column])))
                for k in 0..<depth {
                    let product = rounded(x[row * stride + k]) * rounded(w[column * depth + k])
                    (sum, size) = (sum + product, size + abs(product))
                }
                if test.silu { sum = Double(Float(sum)).silu }
                let old = Double(start[row * columns + column])
                exact.append(test.adds ? old + Double(gate[column]) * sum : sum)
                magnitudes.append(test.adds ? abs(old) + abs(Double(gate[column])) * size : size)
            }
        }
        (argument.x, argument.s, argument.bias, argument.y) = (input.address, scales.address, offset.address, output.address)
        argument.gate = factor.address
        (argument.rows, argument.columns, argument.depth) = (Int32(rows), Int32(columns), Int32(depth))
        (argument.ldx, argument.ldw, argument.ldy, argument.weight) = (Int32(stride), Int32(depth), Int32(columns), Int32(test.weight))
        (argument.silu, argument.adds, argument.narrows) = (test.silu ? 1 : 0, test.adds ? 1 : 0, Int32(test.narrows))
        let beyond = try gpu.values([0 as UInt32])
        (argument.layer, argument.beyond) = (1, beyond.address)
        let shape = try gpu.kernel(name)
        try gpu.run(name, isRow ? pieces(columns, of: 8) : pieces(rows, of: shape.rows), isRow ? 1 : pieces(columns, of: shape.columns), with: argument)
        let error = worst(try gpu.read(output), exact, beside: magnitudes)
        // A row is summed in two floats: what is left is the rounding of the result, and of int8 weights to float32.
        #expect(error <= (isRow ? 2 : Double(depth) / 16 + 16) * 0x1p-24)
        #expect(try gpu.read(beyond) == [0])
        withExtendedLifetime(kept) {}
    }

    struct Map: CustomTestStringConvertible {
        let height: Int, width: Int, channels: Int, outputs: Int, sampling: Int
        var activation = cg_none
        var testDescription: String { "\(height) x \(width) x \(channels) to \(outputs), sampling \(sampling)" }
    }
    static let maps = [
        Map(height: 5, width: 7, channels: 6, outputs: 3, sampling: cg_same),
        Map(height: 9, width: 8, channels: 32, outputs: 70, sampling: cg_same, activation: cg_silu),
        Map(height: 7, width: 6, channels: 12, outputs: 20, sampling: cg_stride2, activation: cg_relu),
        Map(height: 3, width: 5, channels: 16, outputs: 9, sampling: cg_doubled),
        Map(height: 4, width: 9, channels: 7, outputs: 4, sampling: cg_doubled),
        Map(height: 8, width: 9, channels: 64, outputs: 3, sampling: cg_same),
    ]

    @Test(arguments: ["conv_f32_128x128", "conv_f32_32x64", "conv_f32_narrow"], maps) func convolution(_ name: String, _ test: Map) throws {
        let isNarrow = name == "conv_f32_narrow"
        guard !isNarrow || test.outputs <= 4 else { return }
        var random = SplitMix64(seed: UInt64(test.channels))
        let x = random.floats(test.height * test.width * test.channels)
        let (w, bias) = (random.floats(test.outputs * 9 * test.channels), random.floats(test.outputs))
        let (height, width) = (extent(test.height, test.sampling), extent(test.width, test.sampling))
        var (exact, magnitudes): ([Double], [Double]) = ([], [])
        for pixel in 0..<height * width {
            let under = taps(of: pixel, test.height, test.width, test.sampling)
            for output in 0..<test.outputs {
                var (sum, size) = (Double(bias[output]), abs(Double(bias[output])))
                for (tap, source) in under {
                    for channel in 0..<test.channels {
                        let product = Double(x[source * test.channels + channel]) * Double(w[(output * 9 + tap) * test.channels + channel])
                        (sum, size) = (sum + product, size + abs(product))
                    }
                }
                if test.activation == cg_silu { sum = sum.silu }
                exact.append(test.activation == cg_relu ? max(sum, 0) : sum)
                magnitudes.append(size)
            }
        }
        let gpu = try GPU()
        let (input, weights, offset) = (try gpu.values(x), try gpu.values(w), try gpu.values(bias))
        let output: GPU.Values<Float> = try gpu.room(exact.count)
        let argument = cg_convolution(
            x: input.address, w: weights.address, bias: offset.address, y: output.address, height: Int32(test.height), width: Int32(test.width),
            channels: Int32(test.channels), outputs: Int32(test.outputs), sampling: Int32(test.sampling), activation: Int32(test.activation), from: 0,
            to: Int32(height * width), maskX: -1, maskY: -1)
        let shape = try gpu.kernel(name)
        try gpu.run(
            name, pieces(height * width, of: isNarrow ? 32 : shape.rows), isNarrow ? 1 : pieces(test.outputs, of: shape.columns),
            shared: isNarrow ? cg_narrow_shared(UInt32(test.channels), UInt32(test.outputs)) : 0, with: argument)
        #expect(worst(try gpu.read(output), exact, beside: magnitudes) <= (Double(9 * test.channels) / 16 + 16) * 0x1p-24)
    }
}

/// Pixels along an axis of what a convolution makes.
func extent(_ extent: Int, _ sampling: Int) -> Int { sampling == cg_same ? extent : sampling == cg_doubled ? 2 * extent : (extent + 1) / 2 }

/// The taps of an output pixel that lie inside the map, and the pixels under them.
func taps(of pixel: Int, _ height: Int, _ width: Int, _ sampling: Int) -> [(tap: Int, source: Int)] {
    let columns = extent(width, sampling)
    let (step, doubled) = (sampling == cg_stride2 ? 2 : 1, sampling == cg_doubled ? 2 : 1)
    return (0..<9).compactMap { tap in
        let (row, column) = (pixel / columns * step + tap / 3 - 1, pixel % columns * step + tap % 3 - 1)
        guard (0..<height * doubled).contains(row), (0..<width * doubled).contains(column) else { return nil }
        return (tap, row / doubled * width + column / doubled)
    }
}

import CGPUKernels
import CKernels
import Glibc
import TestKit
import Testing

/// What is done to elements, and where they lie.
@Suite struct ElementTests {
    private static let corners: [Float] = [-80, 90, 1e-20, -12, -9.5, 0, -0.0]

    @Test(arguments: [(cg_relu, 0.0), (cg_silu, 3.0), (cg_gelu, 3.0), (cg_exact_gelu, 5.0)]) func functions(_ function: Int, _ limit: Double) throws {
        var random = SplitMix64(seed: 4)
        let x = Self.corners + random.floats(2500, range: 9)
        let gpu = try GPU()
        let (input, output) = (try gpu.values(x), try gpu.room(x.count) as GPU.Values<Float>)
        try gpu.run(
            "activate", pieces(x.count, of: 1024),
            with: cg_activate(x: input.address, y: output.address, count: UInt32(x.count), function: Int32(function)))
        let result = try gpu.read(output)
        var expected = x
        switch function {
        case cg_relu: unsafe ck_relu(CK_ISA_PLAIN, x, &expected, x.count)
        case cg_silu:
            unsafe ck_silu_f32(CK_ISA_PLAIN, x, &expected, x.count)
            #expect(result == expected)
            unsafe ck_silu(CK_ISA_PLAIN, x, &expected, x.count)
        case cg_gelu: unsafe ck_gelu_tanh(CK_ISA_PLAIN, x, &expected, x.count)
        default: expected = x.map { Float(Double($0) / 2 * erfc(-Double($0) / 2.0.squareRoot())) }
        }
        // The exponential ends at 88: what is further down is zero beside all it is added to.
        let error = zip(result, expected).map { abs($0 - $1) / max($1.magnitude, 1e-28).ulp }.max() ?? 0
        #expect(Double(error) <= limit)
    }

    @Test func gates() throws {
        let (rows, columns) = (3, 1500)
        var random = SplitMix64(seed: 5)
        let u = random.floats(rows * 2 * columns, range: 5)
        let gpu = try GPU()
        let (input, output) = (try gpu.values(u), try gpu.room(rows * columns) as GPU.Values<Float>)
        let argument = cg_gate(x: input.address, y: output.address, columns: Int32(columns))
        var expected = [Float](repeating: 0, count: rows * columns)
        unsafe ck_glu_silu(CK_ISA_PLAIN, u, &expected, rows, columns)
        try gpu.run("gate_silu", pieces(columns, of: 1024), rows, with: argument)
        #expect(zip(try gpu.read(output), expected).allSatisfy { abs($0 - $1) <= 4 * $1.ulp })
        for row in 0..<rows {
            let halves = (Array(u[2 * row * columns..<(2 * row + 1) * columns]), Array(u[(2 * row + 1) * columns..<(2 * row + 2) * columns]))
            var own = [Float](repeating: 0, count: columns)
            unsafe ck_geglu_tanh(CK_ISA_PLAIN, halves.0, halves.1, &own, columns)
            expected.replaceSubrange(row * columns..<(row + 1) * columns, with: own)
        }
        try gpu.run("gate_gelu", pieces(columns, of: 1024), rows, with: argument)
        #expect(zip(try gpu.read(output), expected).allSatisfy { abs($0 - $1) <= 4 * $1.ulp })
    }

    @Test func sums() throws {
        let (rows, columns) = (9, 150)
        var random = SplitMix64(seed: 6)
        let (x, base, gate) = (random.floats(rows * columns), random.floats(rows * columns), random.floats(columns))
        let gpu = try GPU()
        let (input, added, factor, output) = (try gpu.values(x), try gpu.values(base), try gpu.values(gate), try gpu.values(base))
        var argument = cg_add(x: input.address, base: 0, gate: factor.address, y: output.address, count: UInt32(x.count), columns: Int32(columns))
        var expected = base
        unsafe ck_residual_gate(CK_ISA_PLAIN, &expected, gate, x, rows, columns)
        try gpu.run("add", pieces(x.count, of: 1024), with: argument)
        #expect(try gpu.read(output) == expected)
        (argument.base, argument.gate) = (added.address, 0)
        unsafe ck_add(CK_ISA_PLAIN, base, x, &expected, x.count)
        try gpu.run("add", pieces(x.count, of: 1024), with: argument)
        #expect(try gpu.read(output) == expected)
    }

    @Test func rotation() throws {
        let (rows, heads, width, stride) = (5, 3, 32, 110)
        var random = SplitMix64(seed: 7)
        var x = random.floats(rows * stride)
        let table = random.floats(rows * width, range: 1)
        let gpu = try GPU()
        let (matrix, angles) = (try gpu.values(x), try gpu.values(table))
        try gpu.run("rotate", rows, with: cg_rotate(x: matrix.address + 8, table: angles.address, ldx: Int32(stride), heads: Int32(heads), width: Int32(width)))
        for row in 0..<rows {
            for pair in 0..<heads * width / 2 {
                let (index, at) = (pair % (width / 2), row * stride + 2 + pair / (width / 2) * width + pair % (width / 2))
                let (cosine, sine) = (Double(table[row * width + index]), Double(table[row * width + width / 2 + index]))
                let (a, b) = (Double(x[at]), Double(x[at + width / 2]))
                (x[at], x[at + width / 2]) = (Float(a * cosine - b * sine), Float(b * cosine + a * sine))
            }
        }
        #expect(try gpu.read(matrix) == x)
    }

    @Test func pixelsAndChannels() throws {
        let (height, width, channels) = (3, 5, 6)
        var random = SplitMix64(seed: 8)
        let x = random.floats(4 * height * width * channels)
        var apart = x
        for pixel in 0..<height * width {
            for corner in 0..<4 {
                let from = (pixel / width * 2 + corner / 2) * 2 * width + pixel % width * 2 + corner % 2
                for channel in 0..<channels { apart[(pixel * channels + channel) * 4 + corner] = x[from * channels + channel] }
            }
        }
        let gpu = try GPU()
        let (map, other) = (try gpu.values(x), try gpu.room(x.count) as GPU.Values<Float>)
        var argument = cg_shuffle()
        (argument.x, argument.y) = (map.address, other.address)
        (argument.height, argument.width, argument.channels) = (Int32(height), Int32(width), Int32(channels))
        try gpu.run("unshuffle", pieces(x.count, of: 1024), with: argument)
        #expect(try gpu.read(other) == apart)
        let back: GPU.Values<Float> = try gpu.room(x.count)
        (argument.x, argument.y) = (other.address, back.address)
        try gpu.run("shuffle", pieces(x.count, of: 1024), with: argument)
        #expect(try gpu.read(back) == x)

        for inputs in [channels, 2 * channels, 4 * channels] {
            let base = random.floats(height * width * inputs)
            var expected: [Float] = []
            for row in 0..<2 * height {
                let above = Array(base[row / 2 * width * inputs..<(row / 2 + 1) * width * inputs])
                var line = Array(x[row * 2 * width * channels..<(row + 1) * 2 * width * channels])
                unsafe ck_add_doubled(CK_ISA_PLAIN, above, inputs, row % 2, &line, channels, 0, 2 * width)
                expected += line
            }
            let (added, target) = (try gpu.values(base), try gpu.values(x))
            (argument.base, argument.inputs) = (added.address, Int32(inputs))
            try gpu.run("shuffle", pieces(x.count, of: 1024), with: argument)
            #expect(try gpu.read(back) == expected)
            try gpu.run(
                "add_doubled", pieces(x.count, of: 1024),
                with: cg_shortcut(
                    x: added.address, y: target.address, count: UInt32(x.count), inputs: Int32(inputs), outputs: Int32(channels), width: Int32(width)))
            #expect(try gpu.read(target) == expected)
        }
    }

    @Test func shortcuts() throws {
        var random = SplitMix64(seed: 9)
        let (wide, narrow) = (random.floats(40 * 12), random.floats(40 * 4))
        let gpu = try GPU()
        let (many, few) = (try gpu.values(wide), try gpu.values(narrow))
        try gpu.run("add_shortcut", 1, with: cg_shortcut(x: many.address, y: few.address, count: 160, inputs: 12, outputs: 4, width: 0))
        let means = (0..<160).map { index in
            let sum = (0..<3).reduce(0.0) { $0 + Double(wide[3 * index + $1]) }
            return narrow[index] + Float(sum / 3)
        }
        #expect(try gpu.read(few) == means)
        let target = try gpu.values(wide)
        try gpu.run("add_shortcut", 1, with: cg_shortcut(x: few.address, y: target.address, count: 480, inputs: 4, outputs: 12, width: 0))
        #expect(try gpu.read(target) == (0..<480).map { wide[$0] + means[$0 / 3] })
    }
}

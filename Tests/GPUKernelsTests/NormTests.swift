import CGPUKernels
import CKernels
import TestKit
import Testing

/// Norms, whose sums of two floats round to the bits of the C kernels' sums in double.
@Suite struct NormTests {
    @Test(arguments: [5, 256, 1000]) func rows(_ columns: Int) throws {
        let rows = 4
        var random = SplitMix64(seed: UInt64(columns))
        let (x, weight, bias) = (random.floats(rows * columns), random.floats(columns), random.floats(columns))
        let gpu = try GPU()
        let (input, factor, offset) = (try gpu.values(x), try gpu.values(weight), try gpu.values(bias))
        let output: GPU.Values<Float> = try gpu.room(x.count)
        var argument = cg_norm()
        (argument.x, argument.y, argument.weight, argument.bias) = (input.address, output.address, factor.address, offset.address)
        (argument.columns, argument.ldx, argument.ldy) = (Int32(columns), Int32(columns), Int32(columns))
        (argument.epsilon, argument.epsilonRest) = split(1e-6)
        var expected = x
        unsafe ck_layernorm_modulate(CK_ISA_PLAIN, x, weight, bias, 1e-6, &expected, rows, columns)
        try gpu.run("layer_norm", rows, with: argument)
        #expect(try gpu.read(output) == expected)

        unsafe ck_rmsnorm(CK_ISA_PLAIN, x, weight, bias, 1, 1e-6, &expected, rows, columns)
        argument.offset = 1
        try gpu.run("rms_norm", rows, with: argument)
        #expect(try gpu.read(output) == expected)

        unsafe ck_rmsnorm(CK_ISA_PLAIN, x, nil, nil, 0, 1e-6, &expected, rows, columns)
        (argument.weight, argument.bias, argument.offset) = (0, 0, 0)
        try gpu.run("rms_norm", rows, with: argument)
        #expect(try gpu.read(output) == expected)
    }

    /// Some columns of a matrix, in place.
    @Test func columnsInPlace() throws {
        let (rows, columns, stride) = (3, 40, 100)
        var random = SplitMix64(seed: 3)
        var x = random.floats(rows * stride)
        let weight = random.floats(columns)
        let gpu = try GPU()
        let (matrix, factor) = (try gpu.values(x), try gpu.values(weight))
        var argument = cg_norm()
        (argument.x, argument.y, argument.weight) = (matrix.address + 4 * 30, matrix.address + 4 * 30, factor.address)
        (argument.columns, argument.ldx, argument.ldy) = (Int32(columns), Int32(stride), Int32(stride))
        (argument.epsilon, argument.epsilonRest) = split(1e-5)
        try gpu.run("rms_norm", rows, with: argument)
        for row in 0..<rows {
            var own = Array(x[row * stride + 30..<row * stride + 30 + columns])
            let source = own
            unsafe ck_rmsnorm(CK_ISA_PLAIN, source, weight, nil, 0, 1e-5, &own, 1, columns)
            x.replaceSubrange(row * stride + 30..<row * stride + 30 + columns, with: own)
        }
        #expect(try gpu.read(matrix) == x)
    }

    /// The autoencoder's, with what follows it.
    @Test(arguments: [3, 16, 130, 256], [cg_none, cg_silu, cg_relu]) func pixels(_ columns: Int, _ activation: Int) throws {
        let (rows, own) = (19, pitch(columns))
        var random = SplitMix64(seed: UInt64(columns))
        let (x, weight, bias, base) = (random.floats(rows * columns), random.floats(columns), random.floats(columns), random.floats(rows * columns))
        var expected = x
        unsafe ck_rmsnorm_add(CK_ISA_PLAIN, x, weight, bias, 1e-5, nil, &expected, rows, columns)
        let normed = expected
        if activation == cg_silu { unsafe ck_silu_f32(CK_ISA_PLAIN, normed, &expected, normed.count) }
        if activation == cg_relu { unsafe ck_relu(CK_ISA_PLAIN, normed, &expected, normed.count) }
        for index in expected.indices where activation == cg_none { expected[index] += base[index] }
        let gpu = try GPU()
        let (input, factor, offset, residual) = (try gpu.values(x), try gpu.values(weight), try gpu.values(bias), try gpu.values(base))
        let (codes, scales) = (try gpu.room(rows * own) as GPU.Values<Int8>, try gpu.room(rows) as GPU.Values<Float>)
        var argument = cg_norm_pixels()
        (argument.x, argument.y, argument.weight, argument.bias) = (input.address, input.address, factor.address, offset.address)
        (argument.q, argument.s) = (codes.address, scales.address)
        if activation == cg_none { argument.base = residual.address }
        (argument.rows, argument.columns, argument.pitch, argument.activation) = (Int32(rows), Int32(columns), Int32(own), Int32(activation))
        (argument.epsilon, argument.epsilonRest) = split(1e-5)
        try gpu.run("norm_pixels", pieces(rows, of: 8), with: argument)
        #expect(try gpu.read(input) == expected)
        let quantized = QuantizeTests.quantized(expected, columns)
        #expect(try gpu.read(codes) == padded(quantized.codes, columns: columns, pitch: own))
        #expect(try gpu.read(scales) == quantized.scales)
    }
}

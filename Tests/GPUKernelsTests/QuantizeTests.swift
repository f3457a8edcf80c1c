import CGPUKernels
import CKernels
import TestKit
import Testing

/// Rows to codes, against the C kernels bit by bit.
@Suite struct QuantizeTests {
    struct Case: CustomTestStringConvertible {
        let columns: Int, turn: Int, normed: Bool, factored: Bool
        var testDescription: String { "\(columns) columns, blocks of \(turn)\(normed ? ", normed" : "")\(factored ? ", factors" : "")" }
    }
    static let cases = [7, 33, 128, 560, 1375].flatMap { columns in
        [1, 32, 1 << 16].flatMap { turn in
            [false, true].flatMap { normed in [false, true].map { Case(columns: columns, turn: turn, normed: normed, factored: $0 && turn > 32) } }
        }
    }

    @Test(arguments: cases) func rows(_ test: Case) throws {
        let (rows, columns, own) = (4, test.columns, pitch(test.columns))
        var random = SplitMix64(seed: UInt64(columns + test.turn))
        var x = random.floats(rows * columns)
        for column in 0..<columns {
            // A row of zeros, and one of subnormals.
            x[columns + column] = 0
            x[2 * columns + column] *= 0x1p-139
        }
        let (scale, shift) = (random.floats(columns, range: 0.5), random.floats(columns, range: 0.5))
        let factors = (0..<columns).map { _ in Float(sign: .plus, exponent: Int.random(in: -6...6, using: &random), significand: 1) }
        var turned = x
        if test.normed { unsafe ck_layernorm_modulate(CK_ISA_PLAIN, x, scale, shift, 1e-6, &turned, rows, columns) }
        if test.turn > 1 {
            let source = turned
            let before = test.factored ? factors : [Float](repeating: 1, count: columns)
            unsafe ck_turn_rows(CK_ISA_PLAIN, source, columns, before, &turned, columns, nil, rows, columns, test.turn)
        }
        let expected = Self.quantized(turned, columns)

        let gpu = try GPU()
        let (input, codes, scales) = (try gpu.values(x), try gpu.room(rows * own) as GPU.Values<Int8>, try gpu.room(rows) as GPU.Values<Float>)
        let (weight, bias, powers) = (try gpu.values(scale), try gpu.values(shift), try gpu.values(factors))
        var argument = cg_quantize()
        (argument.x, argument.q, argument.s) = (input.address, codes.address, scales.address)
        (argument.columns, argument.ldx, argument.pitch, argument.turn) = (Int32(columns), Int32(columns), Int32(own), Int32(test.turn))
        if test.normed { (argument.scale, argument.shift) = (weight.address, bias.address) }
        if test.factored { argument.factors = powers.address }
        (argument.epsilon, argument.epsilonRest) = split(1e-6)
        try gpu.run("quantize_rows", rows, shared: cg_quantize_shared(UInt32(own)), with: argument)
        #expect(try gpu.read(codes) == padded(expected.codes, columns: columns, pitch: own))
        #expect(try gpu.read(scales) == expected.scales)
    }

    @Test(arguments: [3, 16, 130, 512]) func pixels(_ columns: Int) throws {
        let (rows, own) = (21, pitch(columns))
        var random = SplitMix64(seed: UInt64(columns))
        let x = random.floats(rows * columns)
        let gpu = try GPU()
        let (input, codes, scales) = (try gpu.values(x), try gpu.room(rows * own) as GPU.Values<Int8>, try gpu.room(rows) as GPU.Values<Float>)
        try gpu.run(
            "quantize_pixels", pieces(rows, of: 8),
            with: cg_pixels(x: input.address, q: codes.address, s: scales.address, rows: Int32(rows), columns: Int32(columns), pitch: Int32(own)))
        let expected = Self.quantized(x, columns)
        #expect(try gpu.read(codes) == padded(expected.codes, columns: columns, pitch: own))
        #expect(try gpu.read(scales) == expected.scales)
    }

    @Test(arguments: [3, 32, 130]) func narrowed(_ columns: Int) throws {
        let (rows, own) = (9, pitch(2 * columns) / 2)
        var random = SplitMix64(seed: UInt64(columns))
        var x = random.floats(rows * columns)
        (x[0], x[1], x[2]) = (.infinity, .nan, 0x1p-139)
        var expected = [UInt16](repeating: 0, count: x.count)
        unsafe ck_f32_to_bf16(CK_ISA_PLAIN, x, &expected, x.count)
        let gpu = try GPU()
        let (input, narrow) = (try gpu.values(x), try gpu.room(rows * own) as GPU.Values<UInt16>)
        try gpu.run(
            "narrow_rows", pieces(rows, of: 8),
            with: cg_narrow(
                x: input.address, q: narrow.address, beyond: 0, rows: Int32(rows), columns: Int32(columns), pitch: Int32(2 * own), type: Int32(cg_bf16),
                layer: 0, reserved: 0))
        #expect(try gpu.read(narrow) == padded(expected, columns: columns, pitch: own))
    }

    @Test("Rows in float16, and the first layer of several that has what float16 has not", arguments: [3, 32, 130]) func halves(_ columns: Int) throws {
        let (rows, own) = (9, pitch(2 * columns) / 2)
        var random = SplitMix64(seed: UInt64(columns))
        let gpu = try GPU()
        let beyond = try gpu.values([0 as UInt32])
        let values = random.floats(rows * columns)
        // The largest number, and what is rounded down to it; then what is rounded up, infinity, none; and a layer that comes too late.
        for (layer, last, told) in [
            (3, 65504, 0), (4, -65519.996, 0), (5, 65520, 5), (6, -.infinity, 5), (7, 0x1p-25, 5),
        ] as [(UInt32, Float, UInt32)] {
            var x = values
            (x[0], x[1], x[x.count - 1]) = (0x1p-24, -0x1.8p-15, last)
            let expected = x.map { Float16($0).bitPattern }
            let (input, narrow) = (try gpu.values(x), try gpu.room(rows * own) as GPU.Values<UInt16>)
            try gpu.run(
                "narrow_rows", pieces(rows, of: 8),
                with: cg_narrow(
                    x: input.address, q: narrow.address, beyond: beyond.address, rows: Int32(rows), columns: Int32(columns), pitch: Int32(2 * own),
                    type: Int32(cg_f16), layer: layer, reserved: 0))
            #expect(try gpu.read(narrow) == padded(expected, columns: columns, pitch: own))
            #expect(try gpu.read(beyond) == [told])
        }
    }

    /// Codes and scales of rows, by the C kernel.
    static func quantized(_ x: [Float], _ columns: Int) -> (codes: [Int8], scales: [Float]) {
        var (codes, scales) = ([Int8](repeating: 0, count: x.count), [Float](repeating: 0, count: x.count / columns))
        unsafe ck_quantize_rows_s8(CK_ISA_PLAIN, x, columns, &codes, &scales, scales.count, columns)
        return (codes, scales)
    }
}

import CKernels
import Testing

/// Counts may be zero (CKernels.h): nothing is written that is not there, and a sum of nothing is 0.
@Suite struct ZeroCountTests {
    /// Memory that nobody may write to, large enough for what a kernel might touch by mistake.
    @safe private final class Guarded {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
        init() { unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0x5A) }
        deinit { unsafe bytes.deallocate() }
        @unsafe var raw: UnsafeMutableRawPointer { unsafe bytes.baseAddress! }
        @unsafe var floats: UnsafeMutablePointer<Float> { unsafe raw.assumingMemoryBound(to: Float.self) }
        var isIntact: Bool { unsafe bytes.allSatisfy { $0 == 0x5A } }
    }

    private static let packedTypes = [CK_PACKED_S8, CK_PACKED_BF16, CK_PACKED_F32]

    /// Every kernel that takes counts, with no rows, or with rows of nothing.
    @Test(arguments: InstructionSet.supported) func nothingIsWrittenWhereNothingIs(_ set: InstructionSet) {
        let (isa, memory) = (set.code, Guarded())
        let (raw, floats) = unsafe (memory.raw, memory.floats)
        for (m, k) in [(0, 5), (0, 0)] {
            unsafe ck_quantize_rows_s8(isa, raw, k, raw, raw, m, k)
            unsafe ck_quantize_rows_s8_distance(isa, raw, raw, raw, raw, m, k)
            #expect(unsafe ck_quantize_rows_bf16_s8_distance(isa, raw, raw, raw, raw, m, k) == 0)
            unsafe ck_distance_rows(isa, raw, raw, raw, m, k)
            unsafe ck_layernorm_modulate(isa, raw, raw, raw, 1e-6, raw, m, k)
            unsafe ck_residual_gate(isa, raw, raw, raw, m, k)
        }
        for (m, k) in [(0, 5), (3, 0), (0, 0)] {
            unsafe ck_dequantize_rows_s8(isa, raw, raw, raw, k, m, k)
            unsafe ck_turn_rows(isa, raw, k, raw, raw, k, raw, m, k, 1 << 20)
            unsafe ck_layernorm_modulate(isa, raw, raw, raw, 1e-6, raw, m, k)
            unsafe ck_rmsnorm(isa, raw, raw, raw, 1, 1e-6, raw, m, k)
            unsafe ck_glu_silu(isa, raw, raw, m, k)
            unsafe ck_residual_gate(isa, raw, raw, raw, m, k)
            unsafe ck_softmax_rows(isa, raw, 8, m, k, 1, 0, 0, 0)
            unsafe ck_rmsnorm_add(isa, raw, raw, raw, 1e-6, raw, raw, m, k)
            unsafe ck_w8a32_linear(isa, raw, 8, raw, raw, nil, raw, 8, m, 0, k)
            unsafe ck_w8a8_linear(isa, ck_w8a8(q: raw, sx: floats, packed: raw, sw: floats, bias: nil, y: floats, ldy: 8, m: m, n: 0, k: k))
            unsafe ck_row_product(isa, raw, raw, raw, 0, k, false)
            unsafe ck_w8a8_pack(isa, raw, 0, k, raw)
            for type in Self.packedTypes {
                unsafe ck_pack_weights(isa, type, raw, 0, k, raw)
                #expect(ck_packed_weight_bytes(type, 0, k) == 0 && ck_packed_row_bytes(type, 0, k) == 0)
                var product = unsafe ck_product()
                unsafe (product.type, product.m, product.n, product.k) = (type, m, 0, k)
                let source = UnsafeRawPointer(raw)
                unsafe (product.rows, product.weights, product.sx, product.sw, product.y) = (source, source, source, source, raw)
                unsafe ck_packed_product(isa, &product)
                unsafe (product.m, product.n) = (0, 3)
                unsafe ck_packed_product(isa, &product)
            }
        }
        for type in Self.packedTypes {
            unsafe ck_pack_rows(isa, type, raw, 5, raw, raw, 0, 5)
            unsafe ck_pack_layernorm(isa, type, raw, raw, raw, 1e-6, raw, raw, raw, 0, 5)
        }
        unsafe ck_silu(isa, raw, raw, 0)
        unsafe ck_silu_f32(isa, raw, raw, 0)
        unsafe ck_gelu_tanh(isa, raw, raw, 0)
        unsafe ck_relu(isa, raw, raw, 0)
        unsafe ck_geglu_tanh(isa, raw, raw, raw, 0)
        unsafe ck_add(isa, raw, raw, raw, 0)
        unsafe ck_f32_to_f16(isa, raw, raw, 0)
        unsafe ck_f16_to_f32(isa, raw, raw, 0)
        unsafe ck_f32_to_bf16(isa, raw, raw, 0)
        unsafe ck_bf16_to_f32(isa, raw, raw, 0)
        unsafe ck_split16(isa, raw, raw, raw, 0)
        unsafe ck_merge16(isa, raw, raw, raw, 0)
        for type in [CK_F32, CK_F16, CK_BF16, CK_F64] { #expect(unsafe ck_find_nonfinite(isa, type, raw, 0) == 0) }
        if ck_crc32_supported() { #expect(unsafe ck_crc32(7, raw, 0) == 7) }
        for instructions in ck_sha256_supported() ? [false, true] : [false] {
            unsafe ck_sha256(instructions, raw.assumingMemoryBound(to: UInt32.self), raw, 0)
            unsafe ck_sha256_pair(instructions, raw.assumingMemoryBound(to: UInt32.self), raw, raw.assumingMemoryBound(to: UInt32.self) + 8, raw, 0)
        }
        #expect(memory.isIntact)
    }

    @Test(arguments: InstructionSet.supported) func attentionToNothing(_ set: InstructionSet) {
        let (isa, memory, output) = (set.code, Guarded(), Guarded())
        let (raw, floats) = unsafe (memory.raw, memory.floats)
        func linear(_ t: Int, _ d: Int, _ heads: Int) -> Bool {
            unsafe ck_linear_attention(
                isa,
                ck_linear_heads(
                    q: floats, k: floats, v: floats, ld: 8, out: floats, ldo: 8, t: t, d: d, head_stride: 4, h0: 0, h1: heads, relu: true, eps: 1e-15))
        }
        #expect(linear(0, 4, 1) && linear(3, 4, 0) && !linear(3, 0, 1))
        unsafe ck_pack_cross_attention(raw, 4, raw, 4, raw, 0, 4, 1)
        func cross(_ m: Int, _ tokens: Int, _ d: Int, _ heads: Int) {
            let queries = unsafe ck_cross_heads(
                q: floats, ldq: 8, packed: raw, out: output.floats, ldo: 8, m: m, tokens: tokens, d: d, h0: 0, h1: heads, scale: 1)
            unsafe ck_cross_attention(isa, queries, raw)
        }
        cross(0, 3, 4, 1)
        cross(2, 0, 0, 1)
        cross(2, 3, 4, 0)
        #expect(memory.isIntact && output.isIntact)
        cross(2, 0, 4, 1)
        let written = (0..<16).map { unsafe output.floats[$0].bitPattern }
        #expect(written == (0..<16).map { $0 % 8 < 4 ? 0 : 0x5A5A_5A5A })
    }

    /// Products over no k are what their bias makes of 0, with all that follows.
    @Test(arguments: InstructionSet.supported) func productsOfNothingAreTheirBias(_ set: InstructionSet) {
        let (isa, m, n) = (set.code, 14, 35)
        let bias = (0..<n).map { Float($0) - 7 }, ones = [Float](repeating: 1, count: n)
        let expected = (0..<m).flatMap { _ in bias }
        unsafe bias.withUnsafeBufferPointer { bias in
            unsafe ones.withUnsafeBufferPointer { ones in
                for type in Self.packedTypes {
                    var panels = [UInt8](repeating: 7, count: ck_packed_weight_bytes(type, n, 0) + 64)
                    unsafe ck_pack_weights(isa, type, ones.baseAddress, n, 0, &panels)
                    var (y, residual) = ([Float](repeating: 9, count: m * n), [Float](repeating: 2, count: m * n))
                    unsafe panels.withUnsafeBytes { panels in
                        unsafe y.withUnsafeMutableBytes { y in
                            unsafe residual.withUnsafeMutableBytes { residual in
                                var product = unsafe ck_product()
                                unsafe (product.type, product.m, product.n, product.k) = (type, m, n, 0)
                                unsafe (product.rows, product.weights) = (panels.baseAddress, panels.baseAddress)
                                unsafe (product.sx, product.sw, product.bias) = (
                                    UnsafeRawPointer(ones.baseAddress), UnsafeRawPointer(ones.baseAddress), UnsafeRawPointer(bias.baseAddress)
                                )
                                unsafe (product.y, product.ldy) = (y.baseAddress, n)
                                unsafe ck_packed_product(isa, &product)
                                unsafe (product.residual, product.ldr) = (residual.baseAddress, n)
                                unsafe ck_packed_product(isa, &product)
                            }
                        }
                    }
                    #expect(y == expected && residual == expected.map { $0 + 2 }, "\(type)")
                }
                var y = [Float](repeating: 9, count: m * n)
                unsafe ck_w8a32_linear(isa, ones.baseAddress, 0, ones.baseAddress, ones.baseAddress, bias.baseAddress, &y, n, m, n, 0)
                #expect(y == expected)
                y = [Float](repeating: 9, count: m * n)
                unsafe y.withUnsafeMutableBufferPointer { y in
                    unsafe ck_w8a8_linear(
                        isa,
                        ck_w8a8(
                            q: ones.baseAddress, sx: ones.baseAddress, packed: ones.baseAddress, sw: ones.baseAddress, bias: bias.baseAddress,
                            y: y.baseAddress, ldy: n, m: m, n: n, k: 0))
                }
                #expect(y == expected)
                y = [Float](repeating: 9, count: m * n)
                unsafe ck_row_product(isa, ones.baseAddress, ones.baseAddress, &y, n, 0, false)
                #expect(y[..<n].allSatisfy { $0 == 0 })
                unsafe y.withUnsafeMutableBytes { unsafe ck_quantize_rows_s8(isa, ones.baseAddress, 0, $0.baseAddress, $0.baseAddress, 3, 0) }
                #expect(y[..<4] == [1, 1, 1, 0])
            }
        }
    }

    /// Convolutions over no channels are their bias; over no pixels, rows or outputs they write nothing.
    @Test(arguments: InstructionSet.supported) func convolutionsOfNothing(_ set: InstructionSet) {
        let (isa, memory, width) = (set.code, Guarded(), 5)
        let (raw, floats) = unsafe (memory.raw, memory.floats)
        let rows: [UnsafeRawPointer?] = unsafe [UnsafeRawPointer?](repeating: UnsafeRawPointer(raw), count: 6)
        for (n, isInteger) in [(2, false), (40, false), (40, true)] {
            let bias = (0..<n).map(Float.init)
            var y = [Float](repeating: 9, count: 2 * 2 * width * n)
            unsafe bias.withUnsafeBufferPointer { bias in
                let empty = unsafe ck_conv_weights(c: 0, n: n, packed: raw, sw: isInteger ? floats : nil, bias: bias.baseAddress)
                unsafe y.withUnsafeMutableBytes { y in
                    let first = y.baseAddress!
                    let lines: [UnsafeMutableRawPointer?] = unsafe [first, first + 2 * width * n * 4]
                    unsafe ck_conv(isa, empty, rows, rows, 1, 0, width, first)
                    unsafe ck_upconv(isa, empty, rows, rows, 1, 0, width, lines)
                    if !isInteger && n > 2 { unsafe ck_winograd(isa, empty, rows, width, 0, width, lines, raw) }
                }
            }
            #expect(y == (0..<4 * width * n).map { Float($0 % n) } || isInteger)
            if isInteger { #expect(zip(y, (0..<4 * width * n).map { Float($0 % n) }).allSatisfy { $0 == $1 }) }
            for (c, n) in [(3, 0), (3, 2), (0, 0)] {
                let weights = unsafe ck_conv_weights(c: c, n: n, packed: raw, sw: isInteger ? floats : nil, bias: nil)
                let lines: [UnsafeMutableRawPointer?] = unsafe [raw, raw]
                unsafe ck_conv(isa, weights, rows, rows, 1, 2, 2, raw)
                unsafe ck_upconv(isa, weights, rows, rows, 1, 2, 2, lines)
                unsafe ck_upconv(isa, weights, rows, rows, 0, 0, 0, lines)
                if !isInteger { unsafe ck_winograd(isa, weights, rows, width, 2, 2, lines, raw) }
            }
        }
        unsafe ck_conv_f32_pack(isa, raw, 0, 3, raw)
        unsafe ck_conv_i8_pack(isa, raw, 0, 3, raw)
        unsafe ck_winograd_pack(isa, raw, 0, 3, raw)
        unsafe ck_conv_i8_quantize(isa, raw, 3, raw, raw, 0)
        #expect(ck_conv_f32_packed_bytes(isa, 0, 3) == 0 && ck_conv_i8_packed_bytes(isa, 0, 3) == 0 && ck_winograd_packed_bytes(isa, 0, 3) == 0)
        unsafe ck_add_doubled(isa, raw, 0, 0, raw, 0, 0, 4)
        unsafe ck_add_doubled(isa, raw, 4, 0, raw, 4, 2, 2)
        for (h, w, c) in [(0, 3, 2), (3, 0, 2), (3, 3, 0)] {
            unsafe ck_depthwise(isa, raw, raw, nil, raw, h, w, c, 3, 0, h)
            let maps = unsafe ck_gated_maps(
                a: floats, g: floats, ldu: 8, wa: floats, wg: floats, ldw: 8, ba: floats, bg: floats, y: floats, ldy: 8, h: h, w: w, c: c, row0: 0, row1: h)
            unsafe ck_depthwise_glu(isa, maps)
        }
        #expect(memory.isIntact)
    }
}

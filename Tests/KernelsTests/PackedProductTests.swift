import CKernels
import Glibc
import TestKit
import Testing

/// The packed products against naive ones in 64-bit integers or float64, for every instruction set, on odd sizes.
@Suite struct PackedProductTests {
    private static let shapes: [(m: Int, n: Int, k: Int)] = [
        (1, 1, 1), (11, 31, 3), (12, 32, 4), (13, 33, 5), (25, 64, 67), (3, 70, 130), (37, 5, 1443), (14, 200, 961), (24, 32, 2881), (5, 33, 6000),
    ]

    @Test(arguments: InstructionSet.supported) func int8FollowsTheContract(set: InstructionSet) {
        var random = SplitMix64(seed: 41)
        for shape in Self.shapes {
            let (m, n, k) = shape
            let x = random.floats(m * k, range: 3)
            let w = random.bytes(n * k)
            let (sw, bias) = (random.floats(n, range: 0.1), random.floats(n, range: 2))
            var q = [Int8](repeating: 0, count: m * k)
            var sx = [Float](repeating: 0, count: m)
            unsafe ck_quantize_rows_s8(CK_ISA_PLAIN, x, k, &q, &sx, m, k)
            let y = Product(set, CK_PACKED_S8, x, m, k, weights: w, n).run(scales: sw, bias: bias)
            var expected: [Float] = []
            for row in 0..<m {
                for channel in 0..<n {
                    var sum = 0
                    for i in 0..<k { sum += Int(q[row * k + i]) * Int(w[channel * k + i]) }
                    expected.append((sx[row] * sw[channel]).fused(Float(sum), bias[channel]))
                }
            }
            #expect(y.map(\.bitPattern) == expected.map(\.bitPattern), "\(set) \(shape)")
        }
    }

    @Test(arguments: InstructionSet.supported) func floatsAreNearFloat64(set: InstructionSet) {
        var random = SplitMix64(seed: 42)
        for shape in Self.shapes {
            let (m, n, k) = shape
            let (x, w, bias) = (random.floats(m * k, range: 1), random.floats(n * k, range: 1), random.floats(n, range: 1))
            for type in [CK_PACKED_F32, CK_PACKED_BF16] {
                let y = Product(set, type, x, m, k, weights: w, n).run(bias: bias)
                let (a, b) = type == CK_PACKED_BF16 ? (x.map(\.roundedToBFloat16), w.map(\.roundedToBFloat16)) : (x, w)
                for row in 0..<m {
                    for channel in 0..<n {
                        var (sum, magnitude) = (Double(bias[channel]), Double(abs(bias[channel])))
                        for i in 0..<k {
                            let product = Double(a[row * k + i]) * Double(b[channel * k + i])
                            sum += product
                            magnitude += abs(product)
                        }
                        let bound = (Double(k).squareRoot() + 4) * 0x1p-24 * magnitude
                        #expect(abs(Double(y[row * n + channel]) - sum) <= bound, "\(set) \(type) \(shape) [\(row), \(channel)]")
                    }
                }
            }
        }
    }

    @Test(arguments: InstructionSet.supported) func whatFollowsTheProductIsTheSameAsDoneAfterIt(set: InstructionSet) {
        var random = SplitMix64(seed: 43)
        let (m, n, k) = (26, 75, 1000)
        let (x, w, bias, gate) = (random.floats(m * k, range: 0.1), random.floats(n * k, range: 1), random.floats(n, range: 1), random.floats(n, range: 1))
        let residual = random.floats(m * n, range: 1)
        let product = Product(set, CK_PACKED_F32, x, m, k, weights: w, n)
        let plain = product.run(bias: bias)
        let added = product.run(bias: bias, residual: residual, gate: gate)
        let ungated = product.run(bias: bias, residual: residual)
        let activated = product.run(bias: bias, silu: true)
        for index in 0..<m * n {
            let y = plain[index]
            #expect(added[index] == gate[index % n].fused(y, residual[index]))
            #expect(ungated[index] == y + residual[index])
            let silu = Double(y) / (1 + exp(-Double(y)))
            #expect(abs(Double(activated[index]) - silu) <= 3 * Double(Float(abs(silu)).ulp), "\(set) silu(\(y))")
        }
    }

    @Test(arguments: InstructionSet.supported) func packedRowsAreTheSameOnEverySetAndMayBeSplit(set: InstructionSet) {
        var random = SplitMix64(seed: 44)
        for (m, k) in [(1, 1), (13, 7), (30, 259), (12, 2240)] {
            let (x, scale, shift) = (random.floats(m * k, range: 2), random.floats(k, range: 1), random.floats(k, range: 1))
            var normed = x
            unsafe ck_layernorm_modulate(CK_ISA_PLAIN, x, scale, shift, 1e-6, &normed, m, k)
            for type in [CK_PACKED_S8, CK_PACKED_BF16, CK_PACKED_F32] {
                let bytes = ck_packed_row_bytes(type, m, k)
                var (expected, packed) = ([UInt8](repeating: 7, count: bytes), [UInt8](repeating: 9, count: bytes))
                var (steps, others, row) = ([Float](repeating: 0, count: m), [Float](repeating: 0, count: m), [Float](repeating: 0, count: 12 * k))
                unsafe ck_pack_rows(CK_ISA_PLAIN, type, normed, k, &expected, &steps, m, k)
                unsafe ck_pack_layernorm(set.code, type, x, scale, shift, 1e-6, &packed, &others, &row, m, k)
                #expect(packed == expected && others == steps, "\(set) \(type) \(m) x \(k)")
                packed = packed.map { _ in 3 }
                let split = min(12, m)
                unsafe packed.withUnsafeMutableBytes { packed in
                    unsafe others.withUnsafeMutableBufferPointer { others in
                        unsafe normed.withUnsafeBufferPointer { x in
                            unsafe ck_pack_rows(set.code, type, x.baseAddress!, k, packed.baseAddress!, others.baseAddress!, split, k)
                            let start = ck_packed_row_bytes(type, split, k)
                            guard split < m else { return }
                            unsafe ck_pack_rows(
                                set.code, type, x.baseAddress! + split * k, k, packed.baseAddress! + start, others.baseAddress! + split, m - split, k)
                        }
                    }
                }
                #expect(packed == expected && others == steps, "\(set) \(type) \(m) x \(k) in two parts")
            }
        }
    }

    @Test(arguments: InstructionSet.supported) func packedWeightsAreTheSameOnEverySet(set: InstructionSet) {
        var random = SplitMix64(seed: 46)
        for (n, k) in [(1, 1), (32, 16), (33, 15), (64, 67), (95, 48), (32, 259), (64, 140), (32, 64)] {
            let (floats, bytes) = (random.floats(n * k, range: 2), random.bytes(n * k))
            func packed(_ code: CInt, _ type: CInt) -> [UInt8] {
                var panels = [UInt8](repeating: 7, count: ck_packed_weight_bytes(type, n, k))
                if type == CK_PACKED_S8 {
                    unsafe ck_pack_weights(code, type, bytes, n, k, &panels)
                } else {
                    unsafe ck_pack_weights(code, type, floats, n, k, &panels)
                }
                return panels
            }
            for type in [CK_PACKED_S8, CK_PACKED_BF16, CK_PACKED_F32] {
                #expect(packed(set.code, type) == packed(CK_ISA_PLAIN, type), "\(set) \(type) \(n) x \(k)")
            }
        }
    }

    @Test(arguments: InstructionSet.supported) func gatedDepthwiseIsNearFloat64(set: InstructionSet) {
        var random = SplitMix64(seed: 45)
        for (h, w, c) in [(1, 1, 1), (3, 4, 16), (5, 3, 33), (2, 7, 20), (1, 5, 32), (6, 6, 48), (3, 131, 17)] {
            let ld = 2 * c + 3
            let u = random.floats(h * w * ld, range: 2)
            let (weights, biases) = (random.floats(9 * 2 * c, range: 1), random.floats(2 * c, range: 1))
            var y = [Float](repeating: .nan, count: h * w * c)
            unsafe u.withUnsafeBufferPointer { u in
                unsafe weights.withUnsafeBufferPointer { weights in
                    unsafe biases.withUnsafeBufferPointer { biases in
                        unsafe y.withUnsafeMutableBufferPointer { y in
                            for rows in [0..<h / 2, h / 2..<h] {
                                let maps = unsafe ck_gated_maps(
                                    a: u.baseAddress!, g: u.baseAddress! + c, ldu: ld, wa: weights.baseAddress!, wg: weights.baseAddress! + c, ldw: 2 * c,
                                    ba: biases.baseAddress!, bg: biases.baseAddress! + c, y: y.baseAddress!, ldy: c, h: h, w: w, c: c,
                                    row0: rows.lowerBound, row1: rows.upperBound)
                                unsafe ck_depthwise_glu(set.code, maps)
                            }
                        }
                    }
                }
            }
            func convolved(_ row: Int, _ column: Int, _ channel: Int) -> (value: Double, magnitude: Double) {
                var (sum, magnitude) = (Double(biases[channel]), Double(abs(biases[channel])))
                for tap in 0..<9 {
                    let (r, s) = (row + tap / 3 - 1, column + tap % 3 - 1)
                    guard (0..<h).contains(r), (0..<w).contains(s) else { continue }
                    let product = Double(u[(r * w + s) * ld + channel]) * Double(weights[tap * 2 * c + channel])
                    sum += product
                    magnitude += abs(product)
                }
                return (sum, magnitude)
            }
            for index in y.indices {
                let (pixel, channel) = (index / c, index % c)
                let (a, g) = (convolved(pixel / w, pixel % w, channel), convolved(pixel / w, pixel % w, c + channel))
                let silu = g.value / (1 + exp(-g.value))
                // The slope of silu is below 1.1.
                let bound = 0x1p-24 * (10 * a.magnitude * abs(silu) + 11 * g.magnitude * abs(a.value) + 10 * abs(a.value * silu)) + 1e-30
                #expect(abs(Double(y[index]) - a.value * silu) <= bound, "\(set) \(h) x \(w) x \(c) [\(index)]")
            }
        }
    }
}

/// Packed operands, for one instruction set.
private struct Product {
    private let set: InstructionSet
    private let type: CInt
    private let (m, n, k): (Int, Int, Int)
    private var rows: [UInt64]
    private var scales: [Float]
    private var panels: [UInt64]

    init<Weight: BitwiseCopyable>(_ set: InstructionSet, _ type: CInt, _ x: [Float], _ m: Int, _ k: Int, weights: [Weight], _ n: Int) {
        (self.set, self.type, self.m, self.n, self.k) = (set, type, m, n, k)
        rows = Array(repeating: 0xA5A5_A5A5_A5A5_A5A5, count: ck_packed_row_bytes(type, m, k) / 8 + 1)
        panels = Array(repeating: 0xA5A5_A5A5_A5A5_A5A5, count: ck_packed_weight_bytes(type, n, k) / 8 + 1)
        scales = Array(repeating: 0, count: m)
        unsafe ck_pack_rows(set.code, type, x, k, &rows, &scales, m, k)
        unsafe ck_pack_weights(set.code, type, weights, n, k, &panels)
        #expect(rows.last == 0xA5A5_A5A5_A5A5_A5A5 && panels.last == 0xA5A5_A5A5_A5A5_A5A5, "packing wrote past its size")
    }

    /// The outputs, or with `residual` what it becomes. Rows of outputs stand three elements further apart than needed.
    func run(scales sw: [Float]? = nil, bias: [Float], silu: Bool = false, residual: [Float]? = nil, gate: [Float]? = nil) -> [Float] {
        let stride = n + 3
        func spread(_ values: [Float]) -> [Float] { (0..<m).flatMap { Array(values[$0 * n..<($0 + 1) * n]) + [777, 777, 777] } }
        var y = [Float](repeating: 777, count: m * stride)
        var sum = residual.map(spread) ?? y
        unsafe rows.withUnsafeBytes { rows in
            unsafe panels.withUnsafeBytes { panels in
                unsafe scales.withUnsafeBytes { scales in
                    unsafe bias.withUnsafeBytes { bias in
                        unsafe (sw ?? bias.map { _ in 0 }).withUnsafeBytes { sw in
                            unsafe (gate ?? [1]).withUnsafeBytes { factors in
                                unsafe y.withUnsafeMutableBytes { y in
                                    unsafe sum.withUnsafeMutableBytes { sum in
                                        var product = unsafe ck_product()
                                        unsafe (product.type, product.m, product.n, product.k) = (type, m, n, k)
                                        unsafe (product.rows, product.weights) = (rows.baseAddress, panels.baseAddress)
                                        unsafe (product.sx, product.sw, product.bias) = (scales.baseAddress, sw.baseAddress, bias.baseAddress)
                                        unsafe (product.y, product.ldy, product.silu) = (y.baseAddress, stride, silu)
                                        if residual != nil { unsafe (product.residual, product.ldr) = (sum.baseAddress, stride) }
                                        if gate != nil { unsafe product.gate = factors.baseAddress }
                                        unsafe ck_packed_product(set.code, &product)
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        let result = residual == nil ? y : sum
        #expect((0..<m).allSatisfy { result[$0 * stride + n..<($0 + 1) * stride].allSatisfy { $0 == 777 } }, "wrote between rows")
        return (0..<m).flatMap { result[$0 * stride..<$0 * stride + n] }
    }
}

extension Float {
    /// self * factor + addend, rounded once.
    fileprivate func fused(_ factor: Float, _ addend: Float) -> Float { addend.addingProduct(self, factor) }

    fileprivate var roundedToBFloat16: Float {
        Float(bitPattern: (bitPattern + 0x7FFF + (bitPattern >> 16 & 1)) & 0xFFFF_0000)
    }
}

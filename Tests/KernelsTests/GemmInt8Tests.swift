import CKernels
import TestKit
import Testing

/// Weights packed for one instruction set.
private struct Packed {
    var memory: [UInt64]

    init(_ set: InstructionSet, _ w: [Int8], channels: Int, depth: Int) {
        let bytes = ck_w8a8_packed_bytes(set.code, channels, depth)
        memory = [UInt64](repeating: 0xA5A5_A5A5_A5A5_A5A5, count: bytes / 8 + 2)
        unsafe ck_w8a8_pack(set.code, w, channels, depth, &memory)
        let intact = unsafe memory.withUnsafeBytes { unsafe $0[bytes..<bytes + 8].allSatisfy { $0 == 0xA5 } }
        #expect(intact, "packing wrote past its size")
    }
}

/// The raw accumulators, where they are small enough to be floats: scales of 1 and no bias leave them as they are.
private func accumulate(_ set: InstructionSet, _ q: [Int8], _ w: [Int8], rows: Int, channels: Int, depth: Int) -> [Int32] {
    let packed = Packed(set, w, channels: channels, depth: depth), stride = channels + 1
    var y = [Float](repeating: 777, count: rows * stride)
    let (sx, sw) = ([Float](repeating: 1, count: rows), [Float](repeating: 1, count: channels))
    unsafe multiply(set, q, sx, packed, sw, nil, &y, stride, rows, channels, depth)
    #expect((0..<rows).allSatisfy { y[$0 * stride + channels] == 777 }, "wrote between rows")
    return (0..<rows).flatMap { y[$0 * stride..<$0 * stride + channels].map { Int32($0) } }
}

@unsafe private func multiply(
    _ set: InstructionSet, _ q: UnsafePointer<Int8>, _ sx: UnsafePointer<Float>, _ packed: Packed, _ sw: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?,
    _ y: UnsafeMutablePointer<Float>, _ stride: Int, _ rows: Int, _ channels: Int, _ depth: Int
) {
    unsafe packed.memory.withUnsafeBytes { packed in
        unsafe ck_w8a8_linear(
            set.code,
            ck_w8a8(q: q, sx: sx, packed: packed.baseAddress, sw: sw, bias: bias, y: y, ldy: stride, m: rows, n: channels, k: depth))
    }
}

private func naive(_ q: [Int8], _ w: [Int8], rows: Int, channels: Int, depth: Int) -> [Int64] {
    (0..<rows).flatMap { row in
        (0..<channels).map { channel in
            var sum: Int64 = 0
            for i in 0..<depth { sum += Int64(q[row * depth + i]) * Int64(w[channel * depth + i]) }
            return sum
        }
    }
}

private struct Layer {
    var q: [Int8], w: [Int8], sx: [Float], sw: [Float], bias: [Float]
    let rows: Int, channels: Int, depth: Int

    init(rows: Int, channels: Int, depth: Int, seed: UInt64) {
        var random = SplitMix64(seed: seed)
        (self.rows, self.channels, self.depth) = (rows, channels, depth)
        (q, w) = (random.bytes(rows * depth), random.bytes(channels * depth))
        (sx, sw, bias) = (random.floats(rows, range: 0.01), random.floats(channels, range: 0.01), random.floats(channels))
    }

    /// The layer by the kernel.
    func run(_ set: InstructionSet, bias: [Float]?) -> [Float] {
        let packed = Packed(set, w, channels: channels, depth: depth)
        var y = [Float](repeating: 777, count: rows * channels)
        if let bias {
            unsafe multiply(set, q, sx, packed, sw, bias, &y, channels, rows, channels, depth)
        } else {
            unsafe multiply(set, q, sx, packed, sw, nil, &y, channels, rows, channels, depth)
        }
        return y
    }

    /// The layer by the contract: y = fma(sx * sw, acc, bias).
    func expected(bias: [Float]?) -> [Float] {
        let sums = naive(q, w, rows: rows, channels: channels, depth: depth)
        return sums.indices.map { i in
            let channel = i % channels
            return (bias?[channel] ?? 0).addingProduct(sx[i / channels] * sw[channel], Float(sums[i]))
        }
    }
}

@Suite struct GemmInt8Tests {
    @Test(arguments: InstructionSet.supported)
    func accumulatorsEqualTheNaiveProductAtOddSizes(_ set: InstructionSet) {
        var random = SplitMix64(seed: 2)
        for depth in 1...67 {
            let channels = 1 + depth * 29 % 67, rows = 1 + depth * 11 % 14
            let q = random.bytes(rows * depth), w = random.bytes(channels * depth)
            let acc = accumulate(set, q, w, rows: rows, channels: channels, depth: depth)
            #expect(acc.map(Int64.init) == naive(q, w, rows: rows, channels: channels, depth: depth), "\(rows)x\(channels)x\(depth)")
        }
    }

    /// Every count of rows around the register tiles, every count of channels around the panels.
    @Test(arguments: InstructionSet.supported)
    func accumulatorsEqualTheNaiveProductAtEveryEdge(_ set: InstructionSet) {
        var random = SplitMix64(seed: 3)
        let depth = 9
        for size in 1...67 {
            let q = random.bytes(size * depth), w = random.bytes(size * depth)
            let tall = accumulate(set, q, Array(w.prefix(2 * depth)), rows: size, channels: min(2, size), depth: depth)
            #expect(tall.map(Int64.init) == naive(q, w, rows: size, channels: min(2, size), depth: depth), "\(size) rows")
            let wide = accumulate(set, q, w, rows: 1, channels: size, depth: depth)
            #expect(wide.map(Int64.init) == naive(q, w, rows: 1, channels: size, depth: depth), "\(size) channels")
        }
    }

    /// Shapes that need several blocks of rows and of depth; the plain path, proven above, is the reference.
    @Test(arguments: InstructionSet.supported, [(97, 50, 511), (100, 33, 512), (13, 70, 513), (193, 17, 1025), (7, 40, 2240), (5, 16, 3073)])
    func blocksJoinExactly(_ set: InstructionSet, _ shape: (rows: Int, channels: Int, depth: Int)) {
        var random = SplitMix64(seed: 4)
        let (rows, channels, depth) = shape
        let q = random.bytes(rows * depth), w = random.bytes(channels * depth)
        let plain = accumulate(.plain, q, w, rows: rows, channels: channels, depth: depth)
        #expect(accumulate(set, q, w, rows: rows, channels: channels, depth: depth) == plain)
        let corner = naive(Array(q.suffix(depth)), Array(w.suffix(depth)), rows: 1, channels: 1, depth: depth)
        #expect(corner == [Int64(plain[rows * channels - 1])])
    }

    /// 127 * 127 * 65536 has 14 + 16 bits, of which the lowest 16 are zeros: a float holds it.
    @Test(arguments: InstructionSet.supported)
    func extremesAtTheLargestDepthDoNotOverflow(_ set: InstructionSet) {
        let depth = 65536, product = Int32(127 * 127 * 65536)
        let high = [Int8](repeating: 127, count: depth), low = [Int8](repeating: -127, count: depth)
        #expect(
            accumulate(set, high + low, high + low + high, rows: 2, channels: 3, depth: depth)
                == [product, -product, product, -product, product, -product])
    }

    @Test(arguments: InstructionSet.supported)
    func noRowsIsNoWork(_ set: InstructionSet) {
        #expect(accumulate(set, [], [1, 2, 3], rows: 0, channels: 1, depth: 3) == [])
    }

    @Test(arguments: InstructionSet.supported, [(1, 1, 1), (5, 31, 67), (14, 33, 48), (6, 67, 515)])
    func layerFollowsTheContractToTheBit(_ set: InstructionSet, _ shape: (rows: Int, channels: Int, depth: Int)) {
        let layer = Layer(rows: shape.rows, channels: shape.channels, depth: shape.depth, seed: 5)
        for bias in [nil, layer.bias] {
            let y = layer.run(set, bias: bias)
            #expect(sameBits(y, layer.expected(bias: bias)))
        }
    }

    @Test(arguments: InstructionSet.supported)
    func channelsCanBePackedInParts(_ set: InstructionSet) {
        var random = SplitMix64(seed: 8)
        let panel = Int(ck_w8a8_panel(set.code)), depth = 21, channels = 3 * panel + panel / 2 + 1
        let w = random.bytes(channels * depth), whole = Packed(set, w, channels: channels, depth: depth)
        var parts = [UInt64](repeating: 0xA5A5_A5A5_A5A5_A5A5, count: whole.memory.count)
        for range in [2 * panel..<channels, 0..<2 * panel] {
            let offset = ck_w8a8_packed_bytes(set.code, range.lowerBound, depth)
            unsafe parts.withUnsafeMutableBytes { memory in
                unsafe ck_w8a8_pack(
                    set.code, Array(w[range.lowerBound * depth..<range.upperBound * depth]), range.count, depth, memory.baseAddress! + offset)
            }
        }
        #expect(parts == whole.memory)
    }
}

import CKernels
import TestKit
import Testing

/// Calls a conversion on memory at an odd address, as a tensor in a file may lie.
private func convert<Input, Output>(
    _ input: [Input], to zero: Output, _ body: (UnsafeRawPointer, UnsafeMutableRawPointer, Int) -> Void
) -> [Output] {
    let inputBytes = input.count * MemoryLayout<Input>.size, outputBytes = input.count * MemoryLayout<Output>.size
    var source = [UInt8](repeating: 0, count: inputBytes + 1), target = [UInt8](repeating: 0xEE, count: outputBytes + 2)
    var output = [Output](repeating: zero, count: input.count)
    unsafe source.withUnsafeMutableBytes { source in
        unsafe input.withUnsafeBytes { unsafe UnsafeMutableRawBufferPointer(rebasing: source[1...]).copyMemory(from: $0) }
        unsafe target.withUnsafeMutableBytes { target in
            unsafe body(source.baseAddress! + 1, target.baseAddress! + 1, input.count)
            unsafe output.withUnsafeMutableBytes { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: target[1..<1 + outputBytes])) }
        }
    }
    #expect(target.first == 0xEE && target.last == 0xEE, "wrote outside")
    return output
}

private func halfToFloat(_ set: InstructionSet, _ x: [UInt16]) -> [UInt32] {
    unsafe convert(x, to: 0) { unsafe ck_f16_to_f32(set.code, $0, $1, $2) }
}

private func floatToHalf(_ set: InstructionSet, _ x: [UInt32]) -> [UInt16] {
    unsafe convert(x, to: 0) { unsafe ck_f32_to_f16(set.code, $0, $1, $2) }
}

private func brainToFloat(_ set: InstructionSet, _ x: [UInt16]) -> [UInt32] {
    unsafe convert(x, to: 0) { unsafe ck_bf16_to_f32(set.code, $0, $1, $2) }
}

private func floatToBrain(_ set: InstructionSet, _ x: [UInt32]) -> [UInt16] {
    unsafe convert(x, to: 0) { unsafe ck_f32_to_bf16(set.code, $0, $1, $2) }
}

private let everyPattern = (0...UInt16.max).map { $0 }
/// NaNs of both kinds, both signs, payloads above and below what 16 bits keep.
private let nans: [UInt32] = [0x7F80_0001, 0x7F80_1FFF, 0x7F80_2000, 0x7FA1_2345, 0x7FBF_FFFF, 0x7FC0_0000, 0x7FC0_FFFF, 0x7FFF_FFFF, 0xFF80_0001, 0xFFED_CBA9]

@Suite struct HalfTests {
    @Test(arguments: InstructionSet.supported)
    func everyHalfWidensExactly(_ set: InstructionSet) {
        let wide = halfToFloat(set, everyPattern)
        for pattern in everyPattern {
            let value = Float16(bitPattern: pattern)
            let expected =
                value.isNaN
                ? UInt32(pattern & 0x8000) << 16 | 0x7FC0_0000 | UInt32(pattern & 0x3FF) << 13 : Float(value).bitPattern
            #expect(wide[Int(pattern)] == expected, "pattern \(pattern)")
        }
    }

    @Test(arguments: InstructionSet.supported)
    func everyHalfSurvivesTheRoundTrip(_ set: InstructionSet) {
        let wide = halfToFloat(set, everyPattern)
        let back = floatToHalf(set, wide)
        #expect(back == everyPattern.map { Float16(bitPattern: $0).isNaN ? $0 | 0x200 : $0 })
    }

    @Test(arguments: InstructionSet.supported)
    func narrowingToHalfRoundsToNearestEven(_ set: InstructionSet) {
        // Halfway between neighbouring halves, and the floats next to that, for every finite half.
        var inputs = everyMagnitude + [.infinity, -.infinity]
        for pattern in everyPattern where pattern & 0x7FFF < 0x7C00 {
            let half = Float(Float16(bitPattern: pattern)), step = Float(Float16(bitPattern: pattern).ulp)
            let tie = half + (half.sign == .plus ? step : -step) / 2
            inputs += [tie, tie.nextUp, tie.nextDown]
        }
        let narrow = floatToHalf(set, inputs.map(\.bitPattern))
        let wrong = inputs.indices.first { narrow[$0] != Float16(inputs[$0]).bitPattern }
        #expect(wrong == nil, "\(wrong.map { inputs[$0] } ?? 0)")
    }

    @Test(arguments: InstructionSet.supported)
    func everyBrainFloatWidensBitForBit(_ set: InstructionSet) {
        let wide = brainToFloat(set, everyPattern)
        #expect(wide == everyPattern.map { UInt32($0) << 16 })
        let back = floatToBrain(set, wide)
        #expect(back == everyPattern.map { $0 & 0x7FFF > 0x7F80 ? $0 | 0x40 : $0 })
    }

    @Test(arguments: InstructionSet.supported)
    func narrowingToBrainFloatRoundsToNearestEven(_ set: InstructionSet) {
        let inputs = everyMagnitude + [.infinity, -.infinity]
        let narrow = floatToBrain(set, inputs.map(\.bitPattern))
        for (input, pattern) in zip(inputs, narrow) {
            // The two neighbours as doubles, with infinity at 2^128, where it lies for rounding.
            let below = input.bitPattern >> 16, above = below + 1
            let (low, high) = (magnitude(below), magnitude(above)), value = Double(input.magnitude)
            let upper = value - low > high - value || (value - low == high - value && below & 1 == 1)
            let expected = input.isInfinite ? below : upper ? above : below
            #expect(UInt32(pattern) == expected, "\(input)")
        }
        func magnitude(_ pattern: UInt32) -> Double {
            pattern & 0x7FFF == 0x7F80 ? 0x1p128 : Double(Float(bitPattern: pattern << 16).magnitude)
        }
    }

    @Test(arguments: InstructionSet.supported)
    func nanStaysNaNWithItsTopBits(_ set: InstructionSet) {
        // Three times over, so that vector bodies and tails both see each.
        let inputs = nans + nans + nans, halves = floatToHalf(set, inputs), brains = floatToBrain(set, inputs)
        for (i, nan) in inputs.enumerated() {
            #expect(halves[i] == UInt16(nan >> 16 & 0x8000 | 0x7E00 | nan >> 13 & 0x3FF))
            #expect(brains[i] == UInt16(nan >> 16 | 0x40))
        }
    }

    @Test(arguments: InstructionSet.supported)
    func everyShortLength(_ set: InstructionSet) {
        var random = SplitMix64(seed: 9)
        for count in 0...67 {
            let x = random.floats(count)
            let bits = x.map(\.bitPattern), halves = x.map { Float16($0) }
            #expect(floatToHalf(set, bits) == halves.map(\.bitPattern))
            #expect(halfToFloat(set, halves.map(\.bitPattern)) == halves.map { Float($0).bitPattern })
            let brains = floatToBrain(set, bits)
            #expect(brains == bits.map { UInt16(($0 + 0x7FFF + ($0 >> 16 & 1)) >> 16) })
            #expect(brainToFloat(set, brains) == brains.map { UInt32($0) << 16 })
        }
    }
}

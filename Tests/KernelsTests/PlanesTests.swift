import CKernels
import TestKit
import Testing

@Suite struct PlanesTests {
    @Test(arguments: InstructionSet.supported)
    func splitsAndMergesAtEveryLength(_ set: InstructionSet) {
        var random = SplitMix64(seed: 10)
        for count in Array(0...67) + [1000] {
            let x = (0..<count).map { _ in UInt16.random(in: 0...UInt16.max, using: &random) }
            var high = [UInt8](repeating: 0, count: count + 1), low = high, back = [UInt16](repeating: 0, count: count + 1)
            unsafe ck_split16(set.code, x, &high, &low, count)
            #expect(high == x.map { UInt8($0 >> 8) } + [0] && low == x.map { UInt8($0 & 0xFF) } + [0])
            unsafe ck_merge16(set.code, high, low, &back, count)
            #expect(back == x + [0])
        }
    }
}

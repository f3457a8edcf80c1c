import CKernels
import Testing

@Suite struct NonFiniteTests {
    @Test(arguments: InstructionSet.supported)
    func findsTheFirstOfEachType(_ set: InstructionSet) {
        for count in [0, 1, 7, 64, 511, 512, 513, 2000] {
            for hit in [0, 1, count / 2, count - 1, count] where hit >= 0 && hit <= count {
                var f32 = [Float](repeating: .greatestFiniteMagnitude, count: count + 1)
                var f64 = [Double](repeating: -.greatestFiniteMagnitude, count: count + 1)
                var f16 = [UInt16](repeating: 0xFBFF, count: count + 1), bf16 = [UInt16](repeating: 0x7F7F, count: count + 1)
                (f32[hit], f64[hit], f16[hit], bf16[hit]) = (.nan, .infinity, 0xFC00, 0x7F81)
                let found = unsafe [
                    ck_find_nonfinite(set.code, CK_F32, f32, count), ck_find_nonfinite(set.code, CK_F64, f64, count),
                    ck_find_nonfinite(set.code, CK_F16, f16, count), ck_find_nonfinite(set.code, CK_BF16, bf16, count),
                ]
                #expect(found == [hit, hit, hit, hit], "of \(count)")
            }
        }
    }
}

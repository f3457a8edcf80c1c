import CKernels
import Testing

/// One of the instruction sets a kernel can be made to use.
struct InstructionSet: Sendable, Equatable, CustomTestStringConvertible {
    let code: Int32

    static let plain = InstructionSet(code: CK_ISA_PLAIN)
    static let avx2 = InstructionSet(code: CK_ISA_AVX2)
    static let avx512 = InstructionSet(code: CK_ISA_AVX512)
    /// Those this machine can run: the arguments of nearly every test in this target.
    static let supported = [plain, avx2, avx512].filter(\.isSupported)

    var isSupported: Bool { ck_isa_supported(code) }
    var testDescription: String { unsafe String(cString: ck_isa_name(code)) }
}

/// One test per instruction set, so that a set this machine lacks shows as skipped and not as silence.
@Suite struct InstructionSetTests {
    @Test func plainIsAlwaysThere() {
        #expect(InstructionSet.plain.isSupported)
        #expect(InstructionSet.supported.first == .plain)
    }

    @Test(.enabled(if: InstructionSet.avx2.isSupported, "this CPU has no AVX2, FMA, F16C: every test leaves that path out"))
    func avx2IsTested() { #expect(InstructionSet.supported.contains(.avx2)) }

    @Test(.enabled(if: InstructionSet.avx512.isSupported, "this CPU has no AVX-512 VNNI: every test leaves that path out; `make test-avx512` emulates it"))
    func avx512IsTested() { #expect(InstructionSet.supported.contains(.avx512)) }

    @Test func namesAreKnown() {
        #expect([.plain, .avx2, .avx512].map(\InstructionSet.testDescription) == ["plain", "avx2", "avx512-vnni"])
        #expect(InstructionSet(code: 3).testDescription == "unknown")
        #expect(!ck_isa_supported(3) && !ck_isa_supported(-1))
    }
}

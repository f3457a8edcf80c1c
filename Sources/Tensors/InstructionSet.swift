import CKernels

/// The instruction sets that the C kernels have paths for, in ascending order.
package enum InstructionSet: CInt, Sendable, CaseIterable, Comparable, CustomStringConvertible {
    /// Baseline C.
    case plain = 0
    /// AVX2, FMA and F16C.
    case avx2 = 1
    /// AVX-512 F, BW, VL, DQ and VNNI, on top of AVX2.
    case avx512 = 2

    /// Those that this processor and its system can run.
    package static let supported = allCases.filter { ck_isa_supported($0.rawValue) }
    /// The best of them.
    package static let best = supported.last ?? .plain

    /// What conversions between number formats run with: they give the same bits with each, so that no caller need choose.
    /// It can be another within a scope, which is how tests compare them.
    @TaskLocal package static var forConversions = best

    package static func < (a: InstructionSet, b: InstructionSet) -> Bool { a.rawValue < b.rawValue }

    /// "plain", "avx2", "avx512-vnni".
    package var description: String { unsafe String(cString: ck_isa_name(rawValue)) }
}

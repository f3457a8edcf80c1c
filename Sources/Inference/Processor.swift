import CKernels
import COpenBLAS

/// What the runtime computes with on this machine: part of every report, because float results depend on it in their last bits.
package enum Processor {
    /// The kernels' instruction set: "plain", "AVX2", "AVX-512 VNNI".
    package static var instructionSet: String { unsafe String(cString: ck_isa_name(isa)) }

    /// What OpenBLAS calls its kernels here, or why it cannot be loaded.
    package static var blasCore: String { unsafe BLAS.failure ?? String(cString: ob_corename()) }
}

import CKernels
import COpenBLAS

/// What the runtime computes with on this machine: part of every report, because float results depend on it in their last bits.
package enum Processor {
    /// The kernels' instruction set: "plain", "avx2", "avx512-vnni".
    package static var instructionSet: String { unsafe String(cString: ck_isa_name(isa)) }

    /// What OpenBLAS calls its kernels here, or why it cannot be loaded.
    package static var blasCore: String { unsafe BLAS.failure ?? String(cString: ob_corename()) }

    /// Throws where a library is missing without which no model runs.
    package static func checkLibraries() throws(InferenceError) {
        if let failure = BLAS.failure { throw .library(failure) }
    }
}

import COpenBLAS
package import Tensors

/// The executor of models on this machine's processor: what their layers are loaded for, and their operations run on.
///
/// A value and no global, so that one process can run the same weights on several of them.
package struct CPU: Sendable, Equatable, CustomStringConvertible {
    package let instructionSet: InstructionSet
    /// Whether float32 and int8 products run through the packed kernels; without AVX-512, OpenBLAS and an AVX2 kernel are faster.
    package let prefersPackedProducts: Bool

    /// Whether float32 convolutions that are run often multiply by Winograd's algorithm: off only to see that it changes nothing but the last bits.
    let usesWinograd: Bool

    /// - Parameter prefersPackedProducts: nil for what is faster.
    /// - Precondition: the machine supports the instruction set.
    package init(_ instructionSet: InstructionSet, prefersPackedProducts: Bool? = nil, usesWinograd: Bool = true) {
        precondition(InstructionSet.supported.contains(instructionSet))
        self.instructionSet = instructionSet
        self.prefersPackedProducts = prefersPackedProducts ?? (instructionSet == .avx512)
        self.usesWinograd = usesWinograd
    }

    /// OpenBLAS's sums depend on the number of threads, those of packed products do not.
    package var repeatable: CPU { CPU(instructionSet, prefersPackedProducts: true) }

    /// As kernels take it.
    var isa: CInt { instructionSet.rawValue }

    /// What a report says of it: float results depend on it in their last bits.
    package var description: String { instructionSet.description }

    /// Why nothing can be computed here, which says how to help it; nil where it can.
    package static var failure: String? { BLAS.failure }

    /// What OpenBLAS calls its kernels here, or why it cannot be loaded: the same for all executors of a process.
    package static var blasCore: String { unsafe BLAS.failure ?? String(cString: ob_corename()) }
}

extension Executor where Self == CPU {
    /// The fastest that this machine can run.
    package static var best: CPU { CPU(.best) }
}

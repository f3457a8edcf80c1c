import COpenBLAS
import Tensors

/// Single-precision matrix products, by OpenBLAS.
enum BLAS {
    /// Why the library cannot be used; nil where it can. The first use loads it.
    static let failure: String? = {
        // A property of the machine and not of an executor, since a process opens the library once. OpenBLAS 0.3.21 does not know CPUs newer than itself and would take its AVX2 kernels on them.
        guard InstructionSet.best == .avx512 else { return unsafe ob_open(nil).map { unsafe String(cString: $0) } }
        // The module keeps the pointer until the library is open, which is inside this call.
        return unsafe "SKYLAKEX".withCString { name in unsafe ob_open(name).map { unsafe String(cString: $0) } }
    }()

    /// c [m, n] = a [m, k] * op(b) + beta * c, where op(b) is b^T for b [n, k] (`transposed`) or b [k, n]; `ld..` are row strides.
    ///
    /// - Parameter threads: how many OpenBLAS may use; 1 where several threads call at once.
    @unsafe static func multiply(
        _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>, ldb: Int, transposed: Bool, into c: UnsafeMutablePointer<Float>, ldc: Int, m: Int,
        n: Int, k: Int, beta: Float = 0, threads: Int = Parallel.threads
    ) {
        precondition(failure == nil, "the caller opens the library first")
        guard m > 0, n > 0 else { return }
        unsafe ob_sgemm(
            Int32(threads), 0, transposed ? 1 : 0, Int32(m), Int32(n), Int32(k), 1, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
    }
}

internal import CGPUKernels
internal import Files

/// The kernels that ship, for reports.
package enum KernelText {
    /// SHA-256 of the PTX of all modules, one after the other.
    package static let digest: String = {
        var stream = SHA256Stream()
        for module in 0..<cg_module_count() {
            unsafe stream.update(UnsafeRawBufferPointer(start: cg_module_text(module), count: Int(cg_module_bytes(module))))
        }
        return stream.digest()
    }()
}

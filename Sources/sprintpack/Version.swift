import Inference
import Operations
import PackedFiles
import Tensors

/// What `--version` says: enough to repeat a result elsewhere.
enum Version {
    static let number = "0.1.0"
    static let tool = "sprintpack \(number)"
    static let format = "\(PackedHeader.majorVersion).\(PackedHeader.minorVersion)"

    static var text: String { "\(tool) (format \(format), kernels \(CPU.best.description), BLAS \(CPU.blasCore))" }

    /// The same for reports, with the threads in use.
    static var environment: [(name: String, value: String)] {
        [
            ("tool", tool), ("format", format), ("kernels", CPU.best.description), ("BLAS core", CPU.blasCore),
            ("threads", "\(Parallel.threads)"),
        ]
    }
}

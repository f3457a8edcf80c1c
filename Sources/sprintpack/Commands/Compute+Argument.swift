import ArgumentParser
import Inference
import Operations

extension Compute: ExpressibleByArgument {
    /// As traces name it.
    var traceWord: String {
        switch self {
        case .float32: "float32"
        case .bfloat16: "bfloat16"
        case .float16: "float16"
        }
    }
}

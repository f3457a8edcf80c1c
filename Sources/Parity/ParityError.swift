package import Safetensors
package import Tensors

/// Why two traces could not be compared at all. What differs between them is a result, not an error.
package enum ParityError: Error, Sendable, Equatable, CustomStringConvertible {
    case trace(SafetensorsError)
    /// The trace's `meta` is there and is no JSON object.
    case metadata(path: String, reason: String)
    case nothingInCommon(reference: String, other: String)
    case machine(MachineError)

    package var description: String {
        switch self {
        case .trace(let error): "\(error)"
        case .metadata(let path, let reason): "\(path): metadata \"meta\": expected the text of a JSON object, found another thing (\(reason))"
        case .nothingInCommon(let reference, let other):
            "\(other): expected at least one probe of \(reference), found none; Formats/trace.md lists the names of probes"
        case .machine(let error): "\(error)"
        }
    }
}

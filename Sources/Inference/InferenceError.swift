package import Tensors

/// Why a model could not be loaded or run.
package enum InferenceError: Error, Sendable, Equatable, CustomStringConvertible {
    case weight(WeightError)
    case configuration(ConfigurationError)
    case text(TextError)
    case memory(AllocationError)
    /// A library that the runtime needs is missing; the message says how to get it.
    case library(String)
    /// The file holds no such component; `needed` says what for.
    case missingComponent(Component, needed: String)
    /// A request that this model cannot serve: a size off its grid, noise of another shape.
    case request(subject: String, expected: String, found: String)
    /// Whoever asked for the picture wants it no more.
    case cancelled

    package var description: String {
        switch self {
        case .weight(let error): "\(error)"
        case .configuration(let error): "\(error)"
        case .text(let error): "\(error)"
        case .memory(let error): "\(error)"
        case .library(let message): message
        case .missingComponent(let component, let needed):
            "the file has no \(component.rawValue), which is needed to \(needed); convert again with --components that include it"
        case .request(let subject, let expected, let found): "\(subject): expected \(expected), found \(found)"
        case .cancelled: "cancelled"
        }
    }

    /// Runs `body`, turning its error into this type.
    package static func wrap<Value>(_ body: () throws(AllocationError) -> Value) throws(InferenceError) -> Value {
        do throws(AllocationError) { return try body() } catch { throw .memory(error) }
    }

    /// Runs `body`, turning its error into this type.
    package static func loading<Value>(_ body: () throws(WeightError) -> Value) throws(InferenceError) -> Value {
        do throws(WeightError) { return try body() } catch {
            if case .memory(let error) = error { throw .memory(error) }
            throw .weight(error)
        }
    }
}

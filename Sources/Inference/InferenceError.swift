package import Operations
package import Tensors

/// Why a model could not be loaded or run. Subjects name file and member: "tokenizer.json: model: merges".
package enum InferenceError: Error, Sendable, Equatable, CustomStringConvertible {
    case missing(name: String, source: String)
    case wrongShape(name: String, expected: Shape, found: Shape)
    /// What whoever reads it says of a weight or a file: a damaged frame, text that is no JSON.
    case unreadable(name: String, reason: String)
    /// The same, where the source's message names the file itself.
    case source(String)
    /// A value with a meaning that is not implemented; `supported` lists what is.
    case unsupported(subject: String, found: String, supported: String)
    /// Values that contradict each other or this program, within a file or between two.
    case inconsistent(subject: String, expected: String, found: String)
    case machine(MachineError)
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
        case .missing(let name, let source): "\(source): expected the weight \(name), found none; the file was made for another configuration"
        case .wrongShape(let name, let expected, let found): "\(name): expected the shape \(expected), found \(found)"
        case .unreadable(let name, let reason): "\(name): \(reason)"
        case .source(let message), .library(let message): message
        case .unsupported(let subject, let found, let supported): "\(subject): \(found) is not supported; supported: \(supported)"
        case .machine(let error): "\(error)"
        case .missingComponent(let component, let needed):
            "the file has no \(component.rawValue), which is needed to \(needed); convert again with --components that include it"
        case .inconsistent(let subject, let expected, let found), .request(let subject, let expected, let found):
            "\(subject): expected \(expected), found \(found)"
        case .cancelled: "cancelled"
        }
    }
}

extension InferenceError: MachineFailure {
    package init(_ machine: MachineError) { self = .machine(machine) }
}

/// The value of an expression, or this room's error of the memory that it lacked.
package func allocating<Value>(_ value: @autoclosure () throws(MachineError) -> Value) throws(InferenceError) -> Value {
    do throws(MachineError) { return try value() } catch { throw .machine(error) }
}

package func allocating<Value>(_ body: () throws(MachineError) -> Value) throws(InferenceError) -> Value {
    do throws(MachineError) { return try body() } catch { throw .machine(error) }
}

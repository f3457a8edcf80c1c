/// What a pickle's instructions put on the stack. Whatever has parts is a number: the graph may have cycles, and be shared any number of times.
enum PickleValue: Sendable, Equatable {
    case none
    case bool(Bool)
    case integer(Int64)
    /// One of more than 64 bits, which only states of random generators have.
    case longInteger
    case double(Double)
    /// Bytes of the pickle: UTF-8, surrogates passed through.
    case text(start: Int32, count: Int32)
    /// Index of a container.
    case container(Int32)
    /// Index of a name that is on the list of `PickleGlobal`.
    case global(Int32)
    case storage(Int32)
    case tensor(Int32)
    /// Something that Python would have made and this machine does not: a state of a random generator, a logged number.
    case inert

    /// What it is, for a message.
    var kind: String {
        switch self {
        case .none: "None"
        case .bool: "a truth value"
        case .integer, .longInteger: "an integer"
        case .double: "a number"
        case .text: "a text"
        case .container: "a container"
        case .global: "a class or function"
        case .storage: "a storage"
        case .tensor: "a tensor"
        case .inert: "an object of Python"
        }
    }
}

/// Tuples, lists and dictionaries.
struct PickleContainer: Sendable {
    enum Kind: String, Sendable, CustomStringConvertible {
        case tuple = "a tuple"
        case list = "a list"
        case dictionary = "a dictionary"
        case orderedDictionary = "an OrderedDict"

        var description: String { rawValue }
    }

    let kind: Kind
    /// Elements; of a dictionary keys and values in turn, in the order in which they came.
    var items: [PickleValue] = []

    var isDictionary: Bool { kind == .dictionary || kind == .orderedDictionary }
}

/// A storage that tensors refer to.
struct PickledStorage: Sendable, Equatable {
    /// The record of the archive: "0".
    let key: String
    /// nil for bytes without a type.
    let type: StorageType
    /// Elements of that type.
    let elementCount: UInt64
}

/// A tensor as a pickle describes it; nothing of it is read.
struct PickledTensor: Sendable, Equatable {
    let storage: Int
    let view: TensorView
}

/// Everything a pickle has described.
struct PickleGraph: Sendable {
    let bytes: [UInt8]
    var containers: [PickleContainer] = []
    var storages: [PickledStorage] = []
    var tensors: [PickledTensor] = []
    var root = PickleValue.none

    /// A text; nil where it is not valid UTF-8.
    func text(_ value: PickleValue) -> String? {
        guard case .text(let start, let count) = value else { return nil }
        return String(validating: bytes[Int(start)..<Int(start + count)], as: UTF8.self)
    }

    func container(_ value: PickleValue) -> PickleContainer? {
        guard case .container(let index) = value else { return nil }
        return containers[Int(index)]
    }

    /// The elements of a tuple.
    func tuple(_ value: PickleValue) -> [PickleValue]? {
        guard let container = container(value), container.kind == .tuple else { return nil }
        return container.items
    }
}

import StrictJSON
import Tensors

/// Runs the instructions of a pickle and executes nothing: what Python would call is looked up in `PickleGlobal` and turned into a description.
///
/// No recursion, and no more memory than the instructions number: what has parts is kept by reference, so that cycles and what is shared 2^60
/// times cost what their instructions cost.
struct PickleMachine {
    let path: String
    private(set) var graph: PickleGraph
    private let limits: Limits
    private var position: Int
    /// Where the instruction in work begins.
    private var start: Int
    private var stack: [PickleValue] = []
    /// Heights of the stack where MARK was met.
    private var marks: [Int] = []
    private var memo: [PickleValue?] = []
    private var instructions = 0
    private var globals: [(global: PickleGlobal, name: String)] = []
    private var globalIndices: [ExactString: Int32] = [:]
    private var storageIndices: [ExactString: Int] = [:]
    private var isFinished = false

    struct Limits: Sendable {
        /// Five times those of a training file of the largest SANA, optimizer and averages included.
        var instructions = 1_000_000
        var globalByteCount = 128
    }

    /// - Parameter start: offset of the pickle in the bytes.
    init(_ bytes: [UInt8], from start: Int = 0, path: String, limits: Limits = .init()) {
        self.path = path
        self.limits = limits
        graph = PickleGraph(bytes: bytes)
        position = start
        self.start = start
    }

    /// Runs to STOP.
    /// - Returns: the graph, and where the pickle ends.
    static func run(_ bytes: [UInt8], from start: Int = 0, path: String, limits: Limits = .init()) throws(TorchFileError) -> (PickleGraph, end: Int) {
        var machine = PickleMachine(bytes, from: start, path: path, limits: limits)
        while !machine.isFinished { try machine.step() }
        return (machine.graph, machine.position)
    }

    private mutating func step() throws(TorchFileError) {
        start = position
        instructions += 1
        guard instructions <= limits.instructions else { throw .limit(path: path, subject: "pickle instructions", limit: limits.instructions) }
        let byte = try unsigned(1)
        guard let opcode = Opcode(rawValue: UInt8(byte)) else {
            throw .opcode(path: path, at: start, name: Opcode.refused(UInt8(byte)), advice: TorchFileError.saveWeights)
        }
        try run(opcode)
    }

    private mutating func run(_ opcode: Opcode) throws(TorchFileError) {
        switch opcode {
        case .proto:
            let version = try unsigned(1)
            guard version == 2 else {
                throw .opcode(
                    path: path, at: start, name: "protocol \(version)", advice: "load the file in Python and save it again with torch.save's own protocol, 2")
            }
        case .stop:
            guard stack.count == 1, marks.isEmpty else { throw operand("STOP", "one value on the stack", "\(stack.count)") }
            graph.root = stack[0]
            isFinished = true
        case .mark: marks.append(stack.count)
        case .none: stack.append(.none)
        case .newTrue: stack.append(.bool(true))
        case .newFalse: stack.append(.bool(false))
        case .binInt: stack.append(.integer(Int64(Int32(truncatingIfNeeded: try unsigned(4)))))
        case .binInt1: stack.append(.integer(Int64(try unsigned(1))))
        case .binInt2: stack.append(.integer(Int64(try unsigned(2))))
        case .long1: stack.append(try longInteger())
        case .binFloat: stack.append(.double(Double(bitPattern: try unsigned(8).byteSwapped)))
        case .binUnicode:
            let length = try unsigned(4)
            let count = try count(length)
            stack.append(.text(start: Int32(position), count: Int32(count)))
            position += count
        case .emptyTuple: try add(.tuple, [])
        case .emptyList: try add(.list, [])
        case .emptyDict: try add(.dictionary, [])
        case .tuple1: try add(.tuple, try pop(1))
        case .tuple2: try add(.tuple, try pop(2))
        case .tuple3: try add(.tuple, try pop(3))
        case .tuple: try add(.tuple, try popToMark())
        case .append: try extend(try pop(1), .list, "APPEND")
        case .appends: try extend(try popToMark(), .list, "APPENDS")
        case .setItem: try extend(try pop(2), .dictionary, "SETITEM")
        case .setItems: try extend(try popToMark(), .dictionary, "SETITEMS")
        case .binPut: try store(Int(try unsigned(1)))
        case .longBinPut: try store(Int(try unsigned(4)))
        case .binGet, .longBinGet:
            let index = try unsigned(opcode == .binGet ? 1 : 4)
            stack.append(try stored(Int(index)))
        case .global: try pushGlobal()
        case .binPersID:
            let id = try popOne()
            stack.append(.storage(try storage(id)))
        case .reduce:
            let arguments = try popOne()
            let function = try popOne()
            stack.append(try reduce(function, arguments))
        case .build:
            let state = try popOne()
            try build(state)
        }
    }

    // MARK: Operands
    //
    // What changes the machine is never called in the arguments of what only reads it: that would read the machine as it was before.

    private func operand(_ subject: String, _ expected: String, _ found: String) -> TorchFileError {
        .operand(path: path, at: start, subject: subject, expected: expected, found: found)
    }

    /// A little-endian number of 1 to 8 bytes.
    private mutating func unsigned(_ count: Int) throws(TorchFileError) -> UInt64 {
        guard graph.bytes.count - position >= count else { throw .truncatedPickle(path: path, at: graph.bytes.count) }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(graph.bytes[position + index]) << UInt64(8 * index) }
        position += count
        return value
    }

    /// A count of bytes that follow, once they do.
    private func count(_ value: UInt64) throws(TorchFileError) -> Int {
        guard value <= UInt64(graph.bytes.count - position) else { throw .truncatedPickle(path: path, at: graph.bytes.count) }
        return Int(value)
    }

    private mutating func longInteger() throws(TorchFileError) -> PickleValue {
        let length = try unsigned(1)
        let count = try count(length)
        guard count <= 8 else {
            position += count
            return .longInteger
        }
        guard count > 0 else { return .integer(0) }
        let bits = try unsigned(count)
        let shift = Int64(64 - 8 * count)
        return .integer((Int64(bitPattern: bits) << shift) >> shift)
    }

    /// A line that ends with a line feed, without it.
    private mutating func line() throws(TorchFileError) -> String {
        let rest = graph.bytes[position...].prefix(limits.globalByteCount + 1)
        guard let end = rest.firstIndex(of: 0x0A) else {
            guard rest.count > limits.globalByteCount else { throw .truncatedPickle(path: path, at: graph.bytes.count) }
            throw operand("GLOBAL", "a name of at most \(limits.globalByteCount) bytes", "a longer one")
        }
        guard let line = String(validating: rest[..<end], as: UTF8.self) else { throw operand("GLOBAL", "a name in UTF-8", "other bytes") }
        position = end + 1
        return line
    }

    // MARK: Stack and memo

    private mutating func popOne() throws(TorchFileError) -> PickleValue {
        guard stack.count > marks.last ?? 0, let value = stack.popLast() else { throw operand("an instruction", "a value on the stack", "none") }
        return value
    }

    private mutating func pop(_ count: Int) throws(TorchFileError) -> [PickleValue] {
        guard stack.count - (marks.last ?? 0) >= count else { throw operand("an instruction", "\(count) values on the stack", "fewer") }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    private mutating func popToMark() throws(TorchFileError) -> [PickleValue] {
        guard let mark = marks.popLast() else { throw operand("an instruction", "a mark on the stack", "none") }
        defer { stack.removeLast(stack.count - mark) }
        return Array(stack[mark...])
    }

    private mutating func add(_ kind: PickleContainer.Kind, _ items: [PickleValue]) throws(TorchFileError) {
        stack.append(.container(Int32(graph.containers.count)))
        graph.containers.append(PickleContainer(kind: kind, items: items))
    }

    /// Puts values into the container on top of the stack.
    private mutating func extend(_ values: [PickleValue], _ kind: PickleContainer.Kind, _ name: String) throws(TorchFileError) {
        guard stack.count > marks.last ?? 0, case .container(let index)? = stack.last else {
            throw operand(name, "\(kind) on the stack", stack.last?.kind ?? "nothing")
        }
        let found = graph.containers[Int(index)].kind
        let fits = kind == .list ? found == .list : graph.containers[Int(index)].isDictionary
        guard fits else { throw operand(name, "\(kind) on the stack", "\(found)") }
        guard kind == .list || values.count % 2 == 0 else { throw operand(name, "keys and values", "\(values.count) of them") }
        graph.containers[Int(index)].items += values
    }

    private mutating func store(_ index: Int) throws(TorchFileError) {
        guard let value = stack.last else { throw operand("PUT", "a value on the stack", "none") }
        // Python numbers what it stores from 0 on, so that no index is beyond the number of instructions.
        guard index < instructions else { throw operand("PUT", "an index below \(instructions), the number of instructions so far", "\(index)") }
        while memo.count <= index { memo.append(nil) }
        memo[index] = value
    }

    private func stored(_ index: Int) throws(TorchFileError) -> PickleValue {
        guard memo.indices.contains(index), let value = memo[index] else { throw operand("GET", "an index that was stored", "\(index)") }
        return value
    }

    private mutating func pushGlobal() throws(TorchFileError) {
        let module = try line()
        let name = try line()
        if let index = globalIndices[ExactString("\(module).\(name)")] {
            stack.append(.global(index))
            return
        }
        guard let global = PickleGlobal(module: module, name: name) else {
            throw .global(path: path, at: start, name: "\(module).\(name)", advice: PickleGlobal.advice(module: module, name: name))
        }
        globalIndices[ExactString("\(module).\(name)")] = Int32(globals.count)
        stack.append(.global(Int32(globals.count)))
        globals.append((global, "\(module).\(name)"))
    }

    private func global(_ value: PickleValue) -> (global: PickleGlobal, name: String)? {
        guard case .global(let index) = value else { return nil }
        return globals[Int(index)]
    }

    // MARK: Objects

    /// What calling `function` would have made.
    private mutating func reduce(_ function: PickleValue, _ arguments: PickleValue) throws(TorchFileError) -> PickleValue {
        guard let (global, name) = global(function) else { throw operand("REDUCE", "a function of the list", function.kind) }
        guard let arguments = graph.tuple(arguments) else { throw operand(name, "a tuple of arguments", arguments.kind) }
        switch global {
        case .orderedDictionary:
            guard arguments.isEmpty else { throw operand(name, "no arguments", "\(arguments.count)") }
            graph.containers.append(PickleContainer(kind: .orderedDictionary))
            return .container(Int32(graph.containers.count - 1))
        case .rebuildTensor, .rebuildTypedTensor: return try tensor(arguments, isTyped: global == .rebuildTypedTensor, name: name)
        case .rebuildParameter, .rebuildParameterWithState:
            guard arguments.count == (global == .rebuildParameter ? 3 : 4), case .tensor? = arguments.first else {
                throw operand(name, "a tensor and what training wants of it", arguments.first?.kind ?? "nothing")
            }
            return arguments[0]
        case .rebuildFromType: return try subclass(arguments, name: name)
        case .size: return try size(arguments, name: name)
        case .inert: return .inert
        case .tensorClass, .storage, .elementType: throw operand("REDUCE", "a function of the list", name)
        }
    }

    /// `(function, class, arguments, state)`: a tensor with attributes, which are dropped.
    private mutating func subclass(_ arguments: [PickleValue], name: String) throws(TorchFileError) -> PickleValue {
        guard arguments.count == 4, let (function, functionName) = global(arguments[0]), function == .rebuildTensor || function == .rebuildTypedTensor,
            let (type, typeName) = global(arguments[1]), let inner = graph.tuple(arguments[2])
        else { throw operand(name, "a function that makes a tensor, its class and arguments", "others") }
        guard type == .tensorClass else { throw operand(name, "the class torch.Tensor", typeName) }
        return try tensor(inner, isTyped: function == .rebuildTypedTensor, name: functionName)
    }

    /// `torch.Size((1, 2))` is its tuple.
    private func size(_ arguments: [PickleValue], name: String) throws(TorchFileError) -> PickleValue {
        guard arguments.count == 1, graph.tuple(arguments[0]) != nil else { throw operand(name, "one tuple", "\(arguments.count) arguments") }
        return arguments[0]
    }

    /// A state for the object on top of the stack: module versions, attributes. Nothing of it belongs to weights.
    private func build(_ state: PickleValue) throws(TorchFileError) {
        guard stack.count > marks.last ?? 0, let object = stack.last else { throw operand("BUILD", "an object on the stack", "nothing") }
        if object == .inert { return }
        guard graph.container(object)?.kind == .orderedDictionary else { throw operand("BUILD", "an OrderedDict on the stack", object.kind) }
        guard graph.container(state)?.isDictionary == true else { throw operand("BUILD", "a dictionary as state", state.kind) }
    }

    /// The storage of a persistent id: `('storage', type, key, location, number of elements)`.
    private mutating func storage(_ value: PickleValue) throws(TorchFileError) -> Int32 {
        let subject = "a storage"
        guard let members = graph.tuple(value), members.count == 5, graph.text(members[0]) == "storage", let (type, typeName) = global(members[1]),
            let key = graph.text(members[2]), graph.text(members[3]) != nil, case .integer(let count) = members[4], count >= 0
        else { throw operand(subject, "(\"storage\", type, key, location, size)", "another persistent id") }
        guard case .storage(let type) = type else { throw operand(subject, "a type of storage", typeName) }
        let storage = PickledStorage(key: key, type: type, elementCount: UInt64(count))
        guard let index = storageIndices[ExactString(key)] else {
            storageIndices[ExactString(key)] = graph.storages.count
            graph.storages.append(storage)
            return Int32(graph.storages.count - 1)
        }
        guard graph.storages[index] == storage else { throw operand(subject, "the same type and size of \(key.quoted) everywhere", "another") }
        return Int32(index)
    }

    /// `(storage, offset, size, stride, requires_grad, hooks, [metadata])`; with a type of its own behind the hooks.
    private mutating func tensor(_ arguments: [PickleValue], isTyped: Bool, name: String) throws(TorchFileError) -> PickleValue {
        let count = isTyped ? 7 : 6
        guard arguments.count == count || arguments.count == count + 1, case .storage(let index) = arguments[0], case .integer(let offset) = arguments[1] else {
            throw operand(name, "storage, offset, size, stride and what follows", "\(arguments.count) others")
        }
        if arguments.count == count + 1 { try checkMetadata(arguments[count], name: name) }
        let storage = graph.storages[Int(index)]
        let dtype: DType
        if isTyped {
            guard let (global, typeName) = global(arguments[6]) else { throw operand(name, "an element type", arguments[6].kind) }
            guard case .elementType(let type) = global else { throw operand(name, "an element type", typeName) }
            dtype = type
        } else {
            guard case .elements(let type) = storage.type else { throw operand(name, "a storage with a type", "one without") }
            dtype = type
        }
        let (sizes, strides) = (try integers(arguments[2], name: name), try integers(arguments[3], name: name))
        let byteCount = try byteCount(of: storage)
        let view: TensorView
        do throws(TensorView.Fault) {
            view = try TensorView(dtype: dtype, offset: offset, sizes: sizes, strides: strides, storageByteCount: byteCount)
        } catch { throw operand("a tensor of storage \(storage.key.quoted)", error.expected, error.found) }
        graph.tensors.append(PickledTensor(storage: Int(index), view: view))
        return .tensor(Int32(graph.tensors.count - 1))
    }

    private func byteCount(of storage: PickledStorage) throws(TorchFileError) -> UInt64 {
        guard case .elements(let type) = storage.type else { return storage.elementCount }
        let (count, overflow) = storage.elementCount.multipliedReportingOverflow(by: UInt64(type.byteCount))
        guard !overflow else { throw operand("storage \(storage.key.quoted)", "fewer than 2^63 bytes", "\(storage.elementCount) elements") }
        return count
    }

    private func integers(_ value: PickleValue, name: String) throws(TorchFileError) -> [Int64] {
        guard let items = graph.tuple(value) else { throw operand(name, "a tuple of sizes", value.kind) }
        var numbers: [Int64] = []
        for item in items {
            guard case .integer(let number) = item else { throw operand(name, "sizes that are integers", item.kind) }
            numbers.append(number)
        }
        return numbers
    }

    /// Marks of a view whose elements are not what its bytes say.
    private func checkMetadata(_ value: PickleValue, name: String) throws(TorchFileError) {
        guard value != .none else { return }
        guard let container = graph.container(value), container.isDictionary else { throw operand(name, "a dictionary of marks", value.kind) }
        for index in stride(from: 0, to: container.items.count, by: 2) where container.items[index + 1] != .bool(false) {
            throw operand(
                name, "a plain view", "one marked \(graph.text(container.items[index])?.quoted ?? "otherwise"): save it with resolve_conj().resolve_neg()")
        }
    }
}

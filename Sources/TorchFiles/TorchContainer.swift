import StrictJSON
package import Tensors

/// A dictionary of a torch file that has tensors: a state_dict, an optimizer's state of one weight.
package struct TorchContainer: Sendable {
    /// The keys that lead to it, joined by dots: "state_dict"; "" for the file's own dictionary.
    package let path: String
    /// In the order of the dictionary, each name once.
    package let tensors: [TorchTensor]
    /// Its keys that lead to something else than tensors.
    package let otherKeys: [String]
}

/// A tensor of a torch file.
package struct TorchTensor: Sendable, Equatable {
    package let name: String
    let view: TensorView
    /// Index of its storage.
    let storage: Int
    /// Where that begins in the file.
    let storageOffset: UInt64
    package var dtype: DType { view.dtype }
    package var shape: Shape { view.shape }
    package var isContiguous: Bool { view.isContiguous }
    /// Bytes that a read takes beside the caller's buffer.
    package var scratchByteCount: Int { isContiguous ? 0 : StridedReader.windowByteCount }
}

/// Finds the dictionaries with tensors in a graph that may have cycles and share its parts: each is visited once, by its shortest path.
struct ContainerFinder {
    let path: String
    let graph: PickleGraph
    /// Where each storage begins in the file.
    let places: [UInt64]

    /// Dictionaries further in are not looked at: an optimizer's are at most three.
    private static let depthLimit = 6
    private static let nameByteLimit = 512
    private static let tensorLimit = 65_536
    private static let memberLimit = 65_536

    init(path: String, graph: PickleGraph, places: [UInt64]) {
        self.path = path
        self.graph = graph
        self.places = places
    }

    /// The texts among the keys of the root.
    var topLevelKeys: [String] {
        guard let items = graph.container(graph.root)?.items else { return [] }
        return stride(from: 0, to: items.count, by: 2).compactMap { graph.text(items[$0]) }
    }

    func containers() throws(TorchFileError) -> [TorchContainer] {
        guard let root = graph.container(graph.root), root.isDictionary else {
            throw .notAStateDict(
                path: path, found: graph.container(graph.root).map { "\($0.kind)" } ?? graph.root.kind, advice: TorchFileError.saveWeights)
        }
        var result: [TorchContainer] = []
        var tensorCount = 0
        // What each visited dictionary became: the weights and their average may be one object.
        var visited: [Int32: TorchContainer] = [:]
        var queue: [(value: PickleValue, path: String, depth: Int)] = [(graph.root, "", 0)]
        var next = 0
        while next < queue.count {
            let (value, place, depth) = queue[next]
            next += 1
            guard case .container(let index) = value else { continue }
            if let known = visited[index] {
                tensorCount += known.tensors.count
                guard tensorCount <= Self.tensorLimit else { throw .limit(path: path, subject: "tensors", limit: Self.tensorLimit) }
                if !known.tensors.isEmpty { result.append(TorchContainer(path: place, tensors: known.tensors, otherKeys: known.otherKeys)) }
                continue
            }
            var tensors: [TorchTensor] = []
            var others: [String] = []
            let items = graph.containers[Int(index)].items
            guard items.count / 2 <= Self.memberLimit else { throw .limit(path: path, subject: "members of one dictionary", limit: Self.memberLimit) }
            for position in stride(from: 0, to: items.count, by: 2) {
                let member = items[position + 1]
                if case .tensor(let tensor) = member {
                    tensors.append(try self.tensor(Int(tensor), name: try name(items[position], in: place)))
                } else {
                    let isDictionary = graph.container(member)?.isDictionary == true && depth < Self.depthLimit
                    if isDictionary {
                        let name = try name(items[position], in: place)
                        others.append(name)
                        queue.append((member, place.isEmpty ? name : "\(place).\(name)", depth + 1))
                    } else if let name = graph.text(items[position]) {
                        others.append(name)
                    }
                }
            }
            tensorCount += tensors.count
            guard tensorCount <= Self.tensorLimit else { throw .limit(path: path, subject: "tensors", limit: Self.tensorLimit) }
            let container = TorchContainer(path: place, tensors: tensors, otherKeys: others)
            visited[index] = container
            guard !tensors.isEmpty else { continue }
            var names: Set<ExactString> = []
            for tensor in tensors where !names.insert(ExactString(tensor.name)).inserted {
                throw .repeatedName(path: path, container: place, tensor: tensor.name)
            }
            result.append(container)
        }
        return result
    }

    private func tensor(_ index: Int, name: String) throws(TorchFileError) -> TorchTensor {
        let tensor = graph.tensors[index]
        return TorchTensor(name: name, view: tensor.view, storage: tensor.storage, storageOffset: places[tensor.storage])
    }

    /// A key as a name: a text, or the number that an optimizer gives a weight.
    private func name(_ key: PickleValue, in container: String) throws(TorchFileError) -> String {
        if case .integer(let number) = key { return "\(number)" }
        guard let name = graph.text(key), (1...Self.nameByteLimit).contains(name.utf8.count) else {
            throw .tensor(
                path: path, subject: "dictionary \(container.quoted)", member: "key", expected: "a name of 1 to \(Self.nameByteLimit) bytes of UTF-8",
                found: key.kind)
        }
        return name
    }
}

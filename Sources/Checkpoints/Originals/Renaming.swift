import Tensors

/// A tensor under the name that diffusers gives it: some rows of a tensor of the file, all of them one behind the other, perhaps under another shape.
struct TensorPiece: Sendable {
    let name: String
    /// The tensor of the file.
    let source: StoredTensor
    let rows: Range<Int>
    let shape: Shape

    init(name: String, source: StoredTensor, rows: Range<Int>? = nil, shape: Shape? = nil) {
        self.name = name
        self.source = source
        self.rows = rows ?? 0..<source.shape.rows
        self.shape = shape ?? source.shape
    }
}

/// A tensor or a member of a file that is no part of the model, with why.
package struct Omission: Sendable, Equatable {
    /// Key in `model_index.json`: "transformer".
    package let component: String
    package let name: String
    package let reason: String
}

/// Names of other programs in the words of diffusers: a module and what it became, a row of a table. The rows of a module's tensors are split into as
/// many equal parts as there are names.
struct ModuleNames: Sendable {
    private let names: [String: [String]]

    init(_ names: [String: [String]]) { self.names = names }

    /// The rows of the table, in any order.
    var all: [(original: String, modules: [String])] { names.map { ($0.key, $0.value) } }

    /// The pieces of the tensor called `module.suffix`, where the table has the module.
    /// - Parameter prefix: what goes before the new names.
    func pieces(of source: StoredTensor, module: String, suffix: String, prefix: String = "", path: String) throws(CheckpointError) -> [TensorPiece]? {
        guard let parts = names[module] else { return nil }
        return try Self.split(source, into: parts.map { "\(prefix)\($0).\(suffix)" }, path: path)
    }

    /// The rows of a tensor in equal parts.
    static func split(_ source: StoredTensor, into names: [String], path: String) throws(CheckpointError) -> [TensorPiece] {
        guard names.count > 1 else { return [TensorPiece(name: names[0], source: source)] }
        let extents = source.shape.extents
        guard let rows = extents.first, rows > 0, rows.isMultiple(of: names.count) else {
            throw .splitRows(path: path, tensor: source.name, parts: names.count, shape: source.shape)
        }
        let count = rows / names.count
        return names.enumerated().map { part, name in
            TensorPiece(name: name, source: source, rows: part * count..<(part + 1) * count, shape: Shape([count] + extents.dropFirst()))
        }
    }

    /// The module and the last part of a tensor's name: "blocks.0.attn.qkv", "weight".
    static func parts(of name: String) -> (module: String, suffix: String)? {
        guard let dot = name.lastIndex(of: ".") else { return nil }
        return (String(name[..<dot]), String(name[name.index(after: dot)...]))
    }
}

/// What the tensors of a file are called in diffusers.
struct Renaming {
    var pieces: [TensorPiece] = []
    var omissions: [Omission] = []
}

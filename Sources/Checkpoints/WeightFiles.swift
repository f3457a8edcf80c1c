import Files
import StrictJSON

/// Which of the files in a component's folder hold its weights.
struct WeightFiles: Equatable {
    /// nil for the plain files, else the tag before the extension: "fp16".
    let variant: String?
    let source: Source

    enum Source: Equatable {
        case single(String)
        case index(String)
    }

    /// Chooses among the names in `folder`.
    ///
    /// The requested variant where the component has it, else the plain files; without a request the plain files, else the only variant
    /// there is. What leaves a choice is an error, never a guess.
    static func choose(from names: [String], base: String, variant: String?, folder: String) throws(CheckpointError) -> WeightFiles {
        var sets: [WeightSet] = []
        for name in names {
            guard let file = WeightFileName(name, base: base) else { continue }
            if let position = sets.firstIndex(where: { $0.variant == file.variant }) {
                sets[position].add(file, name)
            } else {
                var set = WeightSet(variant: file.variant)
                set.add(file, name)
                sets.append(set)
            }
        }
        let chosen = try choose(sets, base: base, variant: variant, folder: folder, names: names)
        return WeightFiles(variant: chosen.variant, source: try chosen.source(base: base, folder: folder))
    }

    private static func choose(
        _ sets: [WeightSet], base: String, variant: String?, folder: String, names: [String]
    ) throws(CheckpointError) -> WeightSet {
        guard !sets.isEmpty else {
            let others = names.filter(isWeightFile)
            guard others.isEmpty || others.contains(where: isSafetensors) else {
                if others.allSatisfy({ $0.hasSuffix(".gguf") }) { throw .ggufWeights(folder: folder, found: others) }
                throw .unsafeWeights(folder: folder, found: others)
            }
            throw .noWeights(folder: folder, expected: "\(base).safetensors", found: names)
        }
        if let variant, let requested = sets.first(where: { $0.variant == variant }) { return requested }
        if let plain = sets.first(where: { $0.variant == nil }) { return plain }
        let found = sets.flatMap(\.names)
        if let variant { throw .noSuchVariant(folder: folder, variant: variant, found: found) }
        guard sets.count == 1 else { throw .ambiguousVariants(folder: folder, found: found, variants: sets.compactMap(\.variant)) }
        return sets[0]
    }

    /// The files of weights that are there and not taken, with why.
    /// - Parameter opened: the names of those that are.
    func unused(_ names: [String], opened: [String], base: String) -> [(name: String, reason: String)] {
        let taken: String =
            switch source {
            case .single(let name), .index(let name): name
            }
        let used = Set((opened + [taken]).map(ExactString.init))
        return names.filter { Self.isWeightFile($0) && !$0.hasPrefix(".") && !used.contains(ExactString($0)) }.map { name in
            guard let file = WeightFileName(name, base: base) else { return (name, "a file of weights that is not used; \(taken) is") }
            guard let variant = file.variant, variant != self.variant else { return (name, "not used; \(taken) is") }
            return (name, "not used; \(taken) is, and --variant \(variant) takes this")
        }
    }

    static func isSafetensors(_ name: String) -> Bool { name.hasSuffix(".safetensors") }

    /// The files of weights in a folder of the authors, which has them in itself or in `checkpoints`.
    static func originals(in folder: String, _ names: [String]) -> [String] {
        let nested = names.contains("checkpoints") ? (try? Paths.entries(of: Paths.join(folder, "checkpoints"))) ?? [] : []
        return (names + nested.map { Paths.join("checkpoints", $0) }).filter { name in
            [".safetensors", ".pth", ".pt", ".ckpt"].contains { name.hasSuffix($0) } && !Paths.name(of: name).hasPrefix(".")
        }
    }

    /// Whether a name looks like weights, of whatever format.
    private static func isWeightFile(_ name: String) -> Bool {
        [".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".onnx", ".gguf"].contains { name.hasSuffix($0) }
            || name.hasSuffix(".json") && name.contains(".index.")
    }
}

/// The files of one variant.
private struct WeightSet {
    let variant: String?
    var single: String?
    var index: String?
    var shards: [String] = []

    init(variant: String?) { self.variant = variant }

    var names: [String] { [single, index].compactMap { $0 } + shards }

    mutating func add(_ file: WeightFileName, _ name: String) {
        switch file.kind {
        case .single: single = name
        case .index: index = name
        case .shard: shards.append(name)
        }
    }

    func source(base: String, folder: String) throws(CheckpointError) -> WeightFiles.Source {
        switch (single, index) {
        case (let single?, nil): return .single(single)
        case (nil, let index?): return .index(index)
        case (let single?, let index?): throw .singleAndSharded(folder: folder, found: [single, index])
        case (nil, nil):
            throw .missingIndex(folder: folder, expected: "\(base).safetensors.index\(variant.map { ".\($0)" } ?? "").json", shards: shards)
        }
    }
}

/// A file name taken apart as diffusers and transformers put it together (their `_add_variant`).
struct WeightFileName: Equatable {
    let kind: Kind
    let variant: String?

    enum Kind { case single, index, shard }

    /// Nil where `name` is no safetensors file, shard or index that begins with `base`.
    init?(_ name: String, base: String) {
        guard name.utf8.starts(with: base.utf8) else { return nil }
        let rest = name.dropFirst(base.count)
        let parts = rest.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        // "" before the first dot, or "-00001-of-00002".
        guard let head = parts.first, parts.count >= 2 else { return nil }
        switch Array(parts.dropFirst()) {
        case ["safetensors"]:
            guard head.isEmpty || Self.isShardNumber(head) else { return nil }
            self.init(kind: head.isEmpty ? .single : .shard, variant: nil)
        case ["safetensors", "index", "json"] where head.isEmpty:
            self.init(kind: .index, variant: nil)
        case let tail where tail.count == 4 && tail[0] == "safetensors" && tail[1] == "index" && tail[3] == "json" && head.isEmpty:
            guard Self.isVariant(tail[2]) else { return nil }
            self.init(kind: .index, variant: tail[2])
        case let tail where tail.count == 2 && tail[1] == "safetensors":
            // "X.fp16.safetensors", "X.fp16-00001-of-00002.safetensors", and older "X-00001-of-00002.fp16.safetensors".
            if Self.isShardNumber(head), Self.isVariant(tail[0]) {
                self.init(kind: .shard, variant: tail[0])
                return
            }
            guard head.isEmpty else { return nil }
            if Self.isVariant(tail[0]) {
                self.init(kind: .single, variant: tail[0])
                return
            }
            guard let dash = tail[0].firstIndex(of: "-"), Self.isShardNumber(String(tail[0][dash...])) else { return nil }
            let variant = String(tail[0][..<dash])
            guard Self.isVariant(variant) else { return nil }
            self.init(kind: .shard, variant: variant)
        default: return nil
        }
    }

    init(kind: Kind, variant: String?) {
        self.kind = kind
        self.variant = variant
    }

    private static func isVariant(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { isDigit($0) || (0x61...0x7A).contains($0 | 0x20) || $0 == UInt8(ascii: "_") }
    }

    /// "-00001-of-00002", with any number of digits.
    private static func isShardNumber(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0].isEmpty, parts[2] == "of" else { return false }
        return [parts[1], parts[3]].allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(isDigit) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}

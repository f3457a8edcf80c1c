import StrictJSON
import Tensors

/// Finds what an adapter's modules are added to in a checkpoint, with all that keeps them from it.
struct AdapterResolution {
    private let file: AdapterFile
    private let source: AdapterSource
    private let number: Int
    private let components: [String: CheckpointComponent]
    private let targets: AdapterTargets
    private(set) var problems: [AdapterProblem]
    private var pieces: [String: [TensorPiece]] = [:]
    private var adaptations: [String: [ExactString: [Adaptation]]] = [:]

    /// - Throws: `.adapter` with everything in which adapter and checkpoint differ.
    static func resolve(
        _ file: AdapterFile, _ source: AdapterSource, number: Int, in components: [String: CheckpointComponent], _ targets: AdapterTargets
    ) throws(CheckpointError) -> Adapter {
        var resolution = AdapterResolution(file, source, number, components, targets)
        for module in file.modules { try resolution.add(module) }
        guard resolution.problems.isEmpty else { throw .adapter(path: file.path, problems: resolution.problems) }
        guard !file.modules.isEmpty else { throw .adapter(path: file.path, problems: [.empty]) }
        var files: [String: RenamedFile] = [:]
        for (component, pieces) in resolution.pieces { files[component] = try RenamedFile(file.file, pieces: pieces) }
        return Adapter(source: source, number: number, file: file, files: files, adaptations: resolution.adaptations)
    }

    private init(_ file: AdapterFile, _ source: AdapterSource, _ number: Int, _ components: [String: CheckpointComponent], _ targets: AdapterTargets) {
        (self.file, self.source, self.number, self.components, self.targets) = (file, source, number, components, targets)
        problems = file.problems
    }

    private mutating func add(_ module: AdapterFile.Module) throws(CheckpointError) {
        guard let some = module.parts.values.min(by: { ExactString($0.name) < ExactString($1.name) }) else { return }
        guard let down = module.parts[.down], let up = module.parts[.up] else {
            problems.append(.incomplete(tensor: some.name, missing: "both matrices, lora_A and lora_B or lora_down and lora_up,"))
            return
        }
        guard let target = targets.find(module.name), let component = components[target.component] else {
            problems.append(.noTarget(tensor: down.name, nearest: targets.nearest(to: module.name)))
            return
        }
        let weak = module.parts.filter { $0.key != .alpha && ![.f16, .bf16, .f32, .f64].contains($0.value.dtype) }
        guard weak.isEmpty else {
            problems += weak.values.map { .dtype(tensor: $0.name, found: $0.dtype) }
            return
        }
        let stored = target.modules.compactMap { component.entry($0 + ".weight")?.shape }
        guard let shape = stored.first, stored.count == target.modules.count, stored.allSatisfy({ $0 == shape }) else {
            // Parts of one module that differ are no module of NVlabs'.
            problems.append(.noTarget(tensor: down.name, nearest: target.modules))
            return
        }
        guard let (factor, magnitude) = try check(module, down, up, shape, target) else { return }
        for (index, name) in target.modules.enumerated() {
            let prefix = "lora/\(number)/\(name)."
            func piece(_ tensor: StoredTensor, _ part: String, isSplit: Bool = true) -> StoredTensor {
                let count = isSplit ? shape.rows : tensor.shape.rows
                let first = isSplit ? index * count : 0
                let piece = TensorPiece(
                    name: prefix + part, source: tensor, rows: first..<first + count, shape: Shape([count] + tensor.shape.extents.dropFirst()))
                pieces[target.component, default: []].append(piece)
                return StoredTensor(name: piece.name, dtype: tensor.dtype, shape: piece.shape, scratchByteCount: tensor.scratchByteCount)
            }
            let adaptation = Adaptation(
                factor: factor, up: piece(up, "lora_B.weight"), down: piece(down, "lora_A.weight", isSplit: false),
                magnitude: magnitude.map { piece($0, "lora_magnitude_vector") })
            adaptations[target.component, default: [:]][ExactString(name + ".weight"), default: []].append(adaptation)
            guard let bias = module.parts[.upBias] else { continue }
            let addition = Adaptation(factor: factor, up: piece(bias, "lora_B.bias"), down: nil, magnitude: nil)
            adaptations[target.component, default: [:]][ExactString(name + ".bias"), default: []].append(addition)
        }
    }

    /// Holds a module's tensors against what they are added to, and gives factor and magnitudes; nil where something is wrong.
    /// - Parameter shape: of each of the target's weights.
    private mutating func check(
        _ module: AdapterFile.Module, _ down: StoredTensor, _ up: StoredTensor, _ shape: Shape, _ target: AdapterTargets.Target
    ) throws(CheckpointError) -> (factor: Double, magnitude: StoredTensor?)? {
        let count = problems.count
        let name = target.modules.joined(separator: ", ")
        let (rank, rows) = (down.shape.rows, shape.rows * target.modules.count)
        func text(_ extents: Int...) -> String { "\(Shape(extents + (shape.rank > 2 ? [1, 1] : [])))" }
        if shape.rank == 4, shape[1] == 1, shape[0] > 1 {
            problems.append(.grouped(tensor: down.name, target: name))
            return nil
        }
        if rank < 1 || down.shape.columns != shape.columns {
            let kernel = shape.extents.dropFirst().map(String.init).joined(separator: ", ")
            problems.append(.shape(tensor: down.name, expected: "[rank, \(kernel)]", found: down.shape, target: name))
        } else if up.shape.rows != rows || up.shape.columns != rank {
            problems.append(.shape(tensor: up.name, expected: text(rows, rank), found: up.shape, target: name))
        }
        if let bias = module.parts[.upBias] {
            let hasBias = target.modules.allSatisfy { components[target.component]?.entry($0 + ".bias")?.shape == [shape.rows] }
            if !hasBias { problems.append(.noBias(tensor: bias.name, target: name)) }
            if bias.shape != [rows] { problems.append(.shape(tensor: bias.name, expected: "[\(rows)]", found: bias.shape, target: name)) }
        }
        let magnitude = module.parts[.magnitude] ?? module.parts[.doraScale]
        if let scale = module.parts[.doraScale], scale.shape.rows != rows, scale.shape.elementCount == shape.extents.dropFirst().first {
            problems.append(.columnMagnitude(tensor: scale.name, target: name))
        } else if let magnitude, magnitude.shape.elementCount != rows {
            problems.append(.shape(tensor: magnitude.name, expected: "[\(rows)]", found: magnitude.shape, target: name))
        }
        let factor = try factor(module, rank: rank, magnitude, target, down)
        // PEFT keeps the magnitudes of convolutions as [1, outputs, 1, 1].
        return problems.count == count ? factor.map { ($0, magnitude?.reshaped([rows])) } : nil
    }

    /// weight * (alpha / rank), with the alpha of a tensor, of the settings or of the header, else the rank.
    private mutating func factor(
        _ module: AdapterFile.Module, rank: Int, _ magnitude: StoredTensor?, _ target: AdapterTargets.Target, _ down: StoredTensor
    ) throws(CheckpointError) -> Double? {
        let settings = file.settings(of: target.component)
        let name = AdapterTargets.stripped(module.name).name
        var alpha: Double?
        if let tensor = module.parts[.alpha] {
            guard let value = try file.number(tensor), value.isFinite else {
                problems.append(.alpha(tensor: tensor.name, found: "\(tensor.dtype.rawValue) \(tensor.shape)"))
                return nil
            }
            alpha = value
            if let said = settings?.alpha(of: name), said != value {
                problems.append(.disagrees(tensor: tensor.name, setting: settings?.subject ?? "", expected: "\(said)", found: "\(value)"))
            }
        } else if let settings {
            alpha = settings.alpha(of: name)
        } else if let (key, value) = file.alphaOfHeader() {
            guard let value, value.isFinite else {
                problems.append(.alpha(tensor: key, found: "another text"))
                return nil
            }
            alpha = value
        }
        if let settings {
            if let said = settings.rank(of: name), said != rank {
                problems.append(
                    .disagrees(tensor: down.name, setting: "\(settings.subject): r or rank_pattern", expected: "the rank \(said)", found: "\(rank)"))
            }
            if let said = settings.isDoRA, said != (magnitude != nil) {
                problems.append(
                    .disagrees(
                        tensor: (magnitude ?? down).name, setting: "\(settings.subject): use_dora", expected: said ? "magnitudes beside it" : "none",
                        found: said ? "none" : "magnitudes"))
            }
            if let said = settings.hasBias, said != (module.parts[.upBias] != nil) {
                problems.append(
                    .disagrees(
                        tensor: (module.parts[.upBias] ?? down).name, setting: "\(settings.subject): lora_bias", expected: said ? "a bias beside it" : "none",
                        found: said ? "none" : "a bias"))
            }
        }
        let divisor = settings?.usesRootOfRank == true ? Double(rank).squareRoot() : Double(rank)
        return source.weight * ((alpha ?? Double(rank)) / divisor)
    }
}

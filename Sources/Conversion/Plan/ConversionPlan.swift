package import Checkpoints
package import Inference
import Operations
package import PackedFiles
package import StrictJSON
import Tensors

/// What a conversion is going to do, decided from headers and configuration files alone: this is `--dry-run`.
package struct ConversionPlan: Sendable {
    package let checkpoint: Checkpoint
    package let options: ConversionOptions
    let edit: RowEdit?
    package let components: [Component]
    package let tensors: [PlannedTensor]
    /// The small files that make the packed file self-contained, byte for byte.
    package let blobs: [SmallFile]
    /// The most bytes that the converting process takes, as it is planned.
    package let memoryNeeded: Int

    /// Resolves names, shapes, types and rules.
    /// - Throws: with all problems of a kind at once.
    package init(_ checkpoint: Checkpoint, _ options: ConversionOptions, edit: RowEdit? = nil) throws(ConversionError) {
        self.checkpoint = checkpoint
        self.edit = edit
        self.options = options
        components = try options.components.resolved(folders: Set(checkpoint.components.keys)).filter { $0 != .quality || !options.leavesOutQuality }
        let resolution = try WeightResolution(checkpoint, components: components, fusions: options.fusions, frozen: options.frozenSchedule, edit: edit)
        try Self.checkAdapters(of: checkpoint, components: components, tensors: resolution.tensors)
        var tensors = resolution.tensors
        for index in tensors.indices {
            let tensor = tensors[index]
            let decision = try options.policy.decide(tensor.row, component: tensor.component, dtypes: tensor.sources.map(\.dtype))
            (tensors[index].storage, tensors[index].ruleLine, tensors[index].calibration) = (decision.storage, decision.line, decision.calibration)
        }
        try options.policy.checkRulesUsed(by: tensors)
        self.tensors = tensors
        prefixCache = components.contains(.prefixCache) ? try PrefixCache.Estimate(checkpoint, resolution.configuration, tensors) : nil
        blobs = Self.blobs(of: checkpoint, components: components)
        let workingSet = WorkingSet(bound: options.memoryBound, threads: Parallel.threads)
        if options.frozenSchedule != nil, !components.contains(.transformer) {
            throw .component(Component.transformer.rawValue, message: "is not packed, and a frozen schedule is a part of it; leave out --freeze-steps")
        }
        let computed = tensors.filter(\.isComputed)
        // Models run for these parts, after everything else has been converted: better refused now.
        if let part = components.first(where: \.isAttachment), let failure = CPU.failure {
            throw .component(part.rawValue, message: "is computed, and \(failure)")
        }
        let scheduleMemory = computed.isEmpty ? 0 : workingSet.fixedByteCount + ScheduleTensors.memory(computed)
        guard scheduleMemory <= options.memoryBound else {
            throw .memoryBound(needed: scheduleMemory, bound: options.memoryBound, tensor: ScheduleTables.modulationName)
        }
        let streamMemory = try workingSet.needed(tensors.filter { !$0.isComputed })
        // The writer keeps its frames while the cache is computed from the file that it has just completed.
        let cacheMemory = (prefixCache?.memory ?? 0) + workingSet.fixedByteCount
        guard cacheMemory <= options.memoryBound else {
            throw .memoryBound(needed: cacheMemory, bound: options.memoryBound, tensor: Component.prefixCache.rawValue)
        }
        let certificateMemory = components.contains(.certificate) ? workingSet.fixedByteCount + Self.layerMemory(tensors) : 0
        guard certificateMemory <= options.memoryBound else {
            throw .memoryBound(needed: certificateMemory, bound: options.memoryBound, tensor: Component.certificate.rawValue)
        }
        let qualityMemory =
            components.contains(.quality) ? workingSet.fixedByteCount + Self.layerMemory(tensors) + Self.pictureMemory(resolution.configuration) : 0
        guard qualityMemory <= options.memoryBound else {
            throw .memoryBound(needed: qualityMemory, bound: options.memoryBound, tensor: Component.quality.rawValue)
        }
        memoryNeeded = max(streamMemory, cacheMemory, scheduleMemory, certificateMemory, qualityMemory)
    }

    /// Bytes in use while the layers of the checkpoint run, one at a time: the largest one's weights in float32, and of one weight what it is read
    /// from and made into.
    private static func layerMemory(_ tensors: [PlannedTensor]) -> Int {
        var layers: [String: Int] = [:]
        var largest = 0
        // Of the table of tokens only the rows that are asked for are read.
        for tensor in tensors where tensor.row.role != .embedding {
            let bytes = tensor.row.shape.elementCount * MemoryLayout<Float>.stride
            layers[SanaSprintWeights.layer(of: tensor.name), default: 0] += bytes
            largest = max(largest, bytes)
        }
        return (layers.values.max() ?? 0) + 2 * largest
    }

    /// Bytes of what flows through the layers while a few small pictures are made side by side: at most 32 token maps, of which a layer takes 16 at
    /// once, one prompt of 300 tokens and the instruction, and the maps of 12 pictures.
    private static func pictureMemory(_ c: SanaSprintConfiguration) -> Int {
        let side = min(8, c.transformer.sampleSize)
        let tokens = side * side / (c.transformer.patch * c.transformer.patch)
        let maps = tokens * (32 * c.transformer.width + 16 * (8 * c.transformer.width + 4 * c.transformer.hidden))
        let text = c.text.map { 600 * 3 * ($0.width + $0.hidden) } ?? 0
        let stages = c.vae?.decoder.stages ?? []
        let whole = stages.indices.filter { stages[$0].kind == .efficientViT }.map { (side * side << (2 * (stages.count - 1 - $0))) * stages[$0].channels }
        return MemoryLayout<Float>.stride * max(maps, text, 24 * (whole.max() ?? 0))
    }

    /// Of memory bounds, the part that a calibration before the conversion is.
    static let calibrationPart = "calibration"

    /// Refuses a calibration that would take more than the bound: it holds one layer of the checkpoint in float32 after the other.
    ///
    /// Impacts also take what flows through its layers, and a stream of tokens for each linear.
    package func checkCalibration(within bound: Int, withImpacts: Bool) throws(ConversionError) {
        let streams = withImpacts ? Impacts.mostStreamBytes + Self.pictureMemory(try WeightResolution.configuration(of: checkpoint)) : 0
        let needed = Self.layerMemory(tensors) + streams
        guard needed <= bound else { throw .memoryBound(needed: needed, bound: bound, tensor: Self.calibrationPart) }
    }

    /// Nil where the file gets none.
    package let prefixCache: PrefixCache.Estimate?

    package var sourceByteCount: UInt64 { tensors.reduce(0) { $0 + $1.sourceByteCount } }
    package var packedByteCount: UInt64 { tensors.reduce(0) { $0 + $1.packedByteCount } }

    /// What the packed directory says of the conversion: what was asked for, and what of the checkpoint was left out.
    var recordedPolicy: JSONValue {
        guard let ignored = checkpoint.recordedIgnored, case .object(var object) = options.recordedPolicy else { return options.recordedPolicy }
        object[PackedFile.ignoredKey] = ignored
        return .object(object)
    }
}

extension Checkpoint {
    /// The patterns of names that are left out, as a policy has them; nil where there are none.
    package var recordedIgnored: JSONValue? { ignored.isEmpty ? nil : .array(ignored.map { .string($0.pattern) }) }
}

extension PackedFile {
    package static let ignoredKey = "ignore"

    /// The patterns of names that its conversion left out.
    package var ignored: [String] { directory.policy[Self.ignoredKey]?.array?.compactMap(\.string) ?? [] }
}

extension ConversionPlan {
    /// The small files of a checkpoint that a packed file of `components` needs, and that an export gives back byte for byte.
    static func blobs(of checkpoint: Checkpoint, components: [Component]) -> [SmallFile] {
        let folders = Set(components.compactMap(\.folder)).union(ComponentSelection.always)
        return checkpoint.smallFiles.filter { file in
            let parts = file.path.split(separator: "/")
            return parts.count == 1 || folders.contains(String(parts[0]))
        }
    }
}

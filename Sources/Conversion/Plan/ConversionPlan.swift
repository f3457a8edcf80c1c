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
    package let configuration: SanaSprintConfiguration
    package let tensors: [PlannedTensor]
    /// The small files that make the packed file self-contained, byte for byte.
    package let blobs: [SmallFile]
    /// The most bytes that the converting process takes, as it is planned, with what has been reserved.
    package private(set) var memoryNeeded = 0
    /// What is needed whatever is computed: the writer keeps its frames while parts are computed from the file that it has just completed.
    private let fixedByteCount: Int

    /// Resolves names, shapes, types and rules.
    /// - Throws: with all problems of a kind at once.
    package init(_ checkpoint: Checkpoint, _ options: ConversionOptions, edit: RowEdit? = nil) throws(ConversionError) {
        self.checkpoint = checkpoint
        self.edit = edit
        self.options = options
        components = try options.components.resolved(folders: Set(checkpoint.components.keys)).filter { $0 != .quality || !options.leavesOutQuality }
        let resolution = try WeightResolution(checkpoint, components: components, fusions: options.fusions, frozen: options.frozenSchedule, edit: edit)
        configuration = resolution.configuration
        try Self.checkAdapters(of: checkpoint, components: components, tensors: resolution.tensors)
        var tensors = resolution.tensors
        for index in tensors.indices {
            let tensor = tensors[index]
            let decision = try options.policy.decide(tensor.row, component: tensor.component, dtypes: tensor.sources.map(\.dtype))
            (tensors[index].storage, tensors[index].ruleLine, tensors[index].calibration) = (decision.storage, decision.line, decision.calibration)
        }
        try options.policy.checkRulesUsed(by: tensors)
        self.tensors = tensors
        prefixCache = components.contains(.prefixCache) ? try PrefixCache.Estimate(checkpoint, configuration, tensors) : nil
        blobs = Self.blobs(of: checkpoint, components: components)
        let workingSet = WorkingSet(bound: options.memoryBound, threads: Parallel.threads)
        fixedByteCount = workingSet.fixedByteCount
        if options.frozenSchedule != nil, !components.contains(.transformer) {
            throw .component(Component.transformer.rawValue, message: "is not packed, and a frozen schedule is a part of it; leave out --freeze-steps")
        }
        // Models run for these parts, after everything else has been converted: better refused now.
        if let part = components.first(where: \.isAttachment), let failure = CPU.failure {
            throw .component(part.rawValue, message: "is computed, and \(failure)")
        }
        let computed = computedTensors
        if !computed.isEmpty { try reserve(ScheduleTensors.memory(computed), for: ScheduleTables.modulationName) }
        memoryNeeded = max(memoryNeeded, try workingSet.needed(streamedTensors))
        try reserve(prefixCache?.memory ?? 0, for: .prefixCache)
    }

    /// Counts what computing a part takes beside the writer; whoever computes the part says how much that is.
    /// - Throws: where that is beyond the memory bound.
    package mutating func reserve(_ bytes: Int, for component: Component) throws(ConversionError) { try reserve(bytes, for: component.rawValue) }

    private mutating func reserve(_ bytes: Int, for part: String) throws(ConversionError) {
        let needed = fixedByteCount + bytes
        guard needed <= options.memoryBound else { throw .memoryBound(needed: needed, bound: options.memoryBound, tensor: part) }
        memoryNeeded = max(memoryNeeded, needed)
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

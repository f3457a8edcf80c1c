import Checkpoints
import Files
import Inference
package import Operations
package import PackedFiles
import StrictJSON
import Tensors

/// Carries out a plan: reads, fuses, quantizes, compresses and writes its tensors as a stream, a few rows at a time, on all cores.
package enum Converter {
    package typealias Attachment = (name: String, bytes: [UInt8])

    /// How far a conversion has come.
    package struct Progress: Sendable, Equatable {
        /// Bytes of source tensors that are converted, and of all that will be.
        package let done: UInt64
        package let total: UInt64
        /// The packed tensor in work.
        let tensor: String
    }

    /// What keeps a file from being written here, found before any work.
    package static func check(_ plan: ConversionPlan, output: String, replace: Bool) throws(ConversionError) { _ = try open(plan, output, replace: replace) }

    private static func open(_ plan: ConversionPlan, _ output: String, replace: Bool) throws(ConversionError) -> OutputFile {
        let file = try wrapping(ConversionError.file) { () throws(FileError) in
            try OutputFile(path: output, kind: .packedFile, replace: replace, inputs: plan.checkpoint.inputIdentities)
        }
        // What the machine cannot give is better refused now than when all weights have been converted.
        try wrapping(ConversionError.machine, try Memory.check(available: plan.memoryNeeded))
        return file
    }

    /// Writes the packed file. It appears complete under its name, or not at all.
    ///
    /// Equal plans give equal bytes but for attachments, whatever the number of threads and the memory bound.
    /// - Parameters:
    ///   - executor: what computes where a plan calls for more than rows: a schedule's tables, the prefix cache.
    ///   - output: path of the file, which must be none of the checkpoint's.
    ///   - replace: whether an existing file may be replaced.
    ///   - tool: name and version of the program, for the file's directory.
    ///   - certify: computes the attachments of the certificate from the content, where the plan has one; it belongs to a room behind this one.
    ///   - measure: the same of how good the file is. What it throws leaves no file behind.
    ///   - accept: is told the bytes of the content before anything is computed from it, and those of the file before it has its name. What it throws
    ///     leaves no file behind either.
    package static func run(
        _ plan: ConversionPlan, on executor: CPU, output: String, replace: Bool = false, tool: String, progress: @escaping (Progress) -> Void = { _ in },
        certify: ((PackedFile) throws(ConversionError) -> [Attachment])? = nil, measure: ((PackedFile) throws(ConversionError) -> [Attachment])? = nil,
        accept: (_ bytes: UInt64, _ isComplete: Bool) throws(ConversionError) -> Void = { _, _ in }
    ) throws(ConversionError) -> PackedFileWriter.Summary {
        let file = try open(plan, output, replace: replace)
        let pool = WorkPool()
        let workingSet = WorkingSet(bound: plan.options.memoryBound, threads: pool.threads)
        let directory = try plan.directory(tool: tool)
        let writer = try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
            try PackedFileWriter(
                output: file, directory: directory, allowNonfinite: plan.options.allowsNonfinite, pool: pool, frames: workingSet.frames,
                unhashed: workingSet.unhashed)
        }
        for blob in plan.blobs {
            try wrapping(ConversionError.packedFile, try writer.addBlob(blob.path, blob.bytes))
        }
        try plan.writeSchedule(writer, on: executor)
        var pipeline = ConversionPipeline(plan, writer, pool, workingSet, progress: progress)
        try pipeline.run()
        // A source that was written to in the meantime may be half old and half new, which no check of one tensor can see.
        try wrapping(ConversionError.checkpoint, try plan.checkpoint.checkUnchanged())
        let certify = plan.components.contains(.certificate) ? certify : nil
        let measure = plan.components.contains(.quality) ? measure : nil
        guard plan.components.contains(.prefixCache) || certify != nil || measure != nil else {
            try accept(try wrapping(ConversionError.packedFile, try writer.complete()), true)
            return try wrapping(ConversionError.packedFile, try writer.publish())
        }
        let sealed = try wrapping(ConversionError.packedFile, try writer.seal())
        try accept(sealed.header.totalByteCount, false)
        var attachments: [Attachment] = []
        if plan.components.contains(.prefixCache) {
            attachments = try wrapping(ConversionError.prefixCache, try PrefixCache.attachments(of: sealed, on: executor))
        }
        for compute in [certify, measure] {
            guard let compute else { continue }
            attachments += try compute(sealed)
            // It has read the sources once more.
            try wrapping(ConversionError.checkpoint, try plan.checkpoint.checkUnchanged())
        }
        try accept(try wrapping(ConversionError.packedFile, try writer.complete(attachments: attachments)), true)
        return try wrapping(ConversionError.packedFile, try writer.publish())
    }
}

extension PlannedTensor {
    var description: TensorDescription {
        TensorDescription(
            name: name, component: component.rawValue, shape: row.shape, role: row.role.rawValue, layout: row.layout, scheme: storage.scheme,
            activations: storage.activations)
    }
}

extension ConversionPlan {
    /// What a packed file says about itself before its tensors and blobs are known.
    func directory(tool: String) throws(ConversionError) -> Directory {
        Directory(
            tool: tool, preset: options.policy.preset.rawValue, policy: recordedPolicy,
            fusions: options.fusions.names,
            components: components.filter { !$0.isAttachment }.map { ComponentEntry(name: $0.rawValue, configuration: configurationBlob($0)) },
            sourceFiles: sourceFiles
                + (try wrapping(ConversionError.checkpoint, try checkpoint.adapterFiles()))
                .map { SourceFile(path: $0.path, byteCount: $0.byteCount, sha256: $0.sha256, weight: $0.weight) })
    }

    private func configurationBlob(_ component: Component) -> String? {
        component.folder.map { "\($0)/config.json" }.flatMap { name in blobs.contains { $0.path == name } ? name : nil }
    }

    /// The weight files of the components that are packed, with paths relative to the checkpoint's folder.
    private var sourceFiles: [SourceFile] {
        let folders = Set(tensors.compactMap(\.component.folder))
        return checkpoint.weightFiles.filter { file in folders.contains { file.path.hasPrefix($0 + "/") } }
            .map { SourceFile(path: $0.path, byteCount: $0.size) }
    }
}

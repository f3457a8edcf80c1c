package import Checkpoints
import Conversion
import Inference
package import Operations
package import PackedFiles
import Tensors

extension Verification {
    /// What verifying takes at most, all in all. A file or checkpoint that cannot be opened for that is judged by the verification itself, which
    /// says what is wrong with it.
    package static func memoryNeeded(_ file: PackedFile, against checkpoint: Checkpoint? = nil, on executor: CPU) -> Int {
        guard let packed = try? PackedWeights(file) else { return 0 }
        let alone = MemoryStatement.layers(of: packed, on: executor)
        let components = ComponentSelection.listed(file.directory.components.compactMap { Component(rawValue: $0.name) })
        guard let checkpoint, let weights = try? CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: components),
            let pipeline = try? SanaSprintPipeline(weights: weights, on: executor),
            let request = try? LayerComparison.request(for: pipeline),
            let whole = try? Engine(pipeline, residentBytes: 0).memoryStatement(request)
        else { return alone }
        // The checkpoint's model in float32 from prompt to picture, or its layers beside the file's; and what three runs leave behind.
        return max(alone, whole.byteCount, MemoryStatement.layers(of: weights, copies: 2, on: executor)) + 3 * probeBytes(pipeline.configuration, request)
            + reportBytes
    }

    /// What proving a file on another executor takes of the machine's memory: its model on the CPU at its own size, beside what is moved.
    package static func memoryToProve(_ file: PackedFile, against cpu: CPU) -> Int {
        guard let weights = try? PackedWeights(file) else { return 0 }
        let layers = MemoryStatement.layers(of: weights, copies: 2, on: cpu)
        var request = GenerationRequest(prompt: "")
        if let frozen = weights.frozenSchedule { request.follow(frozen, keepsSteps: false, keepsGuidance: false) }
        guard let pipeline = try? SanaSprintPipeline(weights: weights, on: cpu), let whole = try? Engine(pipeline, residentBytes: 0).memoryStatement(request)
        else { return layers }
        return max(layers, whole.byteCount) + reportBytes
    }

    /// Records of every tensor, histograms, and the report as text.
    private static let reportBytes = 16 << 20

    /// The maps and rows of one run that are kept: every block of every step, every stage of the decoder.
    private static func probeBytes(_ c: SanaSprintConfiguration, _ request: GenerationRequest) -> Int {
        let pixels = (request.width ?? 0) * (request.height ?? 0)
        guard let vae = c.vae else { return 0 }
        let (latents, steps) = (pixels / (vae.compression * vae.compression), request.timesteps.stepCount)
        let patch = c.transformer.patch * c.transformer.patch
        let rows = (c.transformer.layers + 4) * steps * latents / patch * c.transformer.width
        let text = c.text.map { ($0.layers + 2) * SanaSprintPrompt.defaultMaximumLength * $0.width } ?? 0
        let maps = vae.decoder.stages.indices.reduce(0) { $0 + (pixels >> (2 * $1)) * vae.decoder.stages[$1].channels }
        return (rows + text + 2 * maps) * MemoryLayout<Float>.stride
    }
}

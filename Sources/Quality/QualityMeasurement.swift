package import Checkpoints
package import Conversion
package import Inference
package import Operations
package import PackedFiles
import Parity
import Tensors

/// Runs three models over a few prompts: the checkpoint's in float32, the same with 16-bit products, and the file's. Where the file falls behind,
/// also those between the first and the last.
///
/// Weights are read as streams, one block or layer in memory at a time, each once for all that a step of all pictures asks of it.
package struct QualityMeasurement {
    package enum Failure: Error, Sendable, Equatable, CustomStringConvertible {
        case conversion(ConversionError)
        case inference(InferenceError)

        package var description: String {
            switch self {
            case .conversion(let error): "\(error)"
            case .inference(let error): "\(error)"
            }
        }
    }

    /// Prompts that nothing is tuned on: a calibration has to have others.
    package static let prompts = [
        "an orange cross on a green background", "a wooden boat on a calm lake in the morning", "a large purple donut on the right on a white background",
        "a street musician playing the violin, black and white photo",
    ]
    /// Seeds of the noise, and of features where there is no text encoder.
    private static let firstSeed = 4000
    /// Numbers of steps, but for a file that is frozen for others.
    private static let steps = [1, 2, 4]
    /// The largest side of latents: all code runs, and a full-size model answers in seconds.
    private static let mostSide = 8
    /// Plans of a frozen file that are measured.
    private static let mostPlans = 3

    let models: MeasuredModels
    private let file: PackedFile
    private let plain: CheckpointWeights
    private let exact: SanaSprintPipeline<CPU>
    private let own: SanaSprintPipeline<CPU>
    private let walk: PictureWalk
    private let vae: AutoencoderConfiguration?
    private let readsPrompts: Bool
    private let progress: (Int, Int) -> Void
    private var done = 0

    /// Whether a file computes exactly what its checkpoint does, so that there is nothing to measure.
    package static func isExact(_ directory: Directory) -> Bool {
        directory.tensors.allSatisfy { !$0.isQuantized && $0.error.map { $0.relativeL2 == 0 } ?? false }
    }

    /// Whether there is anything that can be measured: a velocity takes a transformer.
    package static func isPossible(_ directory: Directory) -> Bool { directory.components.contains { $0.name == Component.transformer.rawValue } }

    /// Bytes in use while a conversion is measured: the layers of one model after the other, and all pictures between them.
    package static func byteCount(_ plan: ConversionPlan) -> Int {
        let counts = plan.options.frozenSchedule?.plans.prefix(mostPlans).map(\.stepCount) ?? steps
        // Every step of the reference, and of the file the first: by steps all plans begin with one.
        let moments = counts.reduce(0, +) + (plan.options.frozenSchedule == nil ? 1 : counts.count)
        let side = Draw.side(atMost: mostSide, plan.configuration.transformer)
        // Whose layers are looked at one by one: beside them the checkpoint's and the file's own.
        let maps = prompts.count * max(moments, Culprits.mostModels(plan) + 2)
        return plan.layerByteCount + PictureWalk.byteCount(plan.configuration, side: side, maps: maps, pictures: prompts.count * counts.count)
    }

    /// - Parameters:
    ///   - file: made from the checkpoint; its content is complete. It has a transformer.
    ///   - progress: is told how many of all passes over a block or layer have begun.
    package static func run(
        _ file: PackedFile, _ checkpoint: Checkpoint, on executor: CPU, tool: String, progress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(Failure) -> Quality {
        let components = ComponentSelection.listed(file.directory.components.compactMap { Component(rawValue: $0.name) })
        let (plain, fused): (CheckpointWeights, CheckpointWeights)
        do throws(ConversionError) {
            plain = try CheckpointWeights(checkpoint, fusions: .lossless, components: components)
            fused = try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: components)
        } catch { throw .conversion(error) }
        do throws(InferenceError) {
            var measurement = try QualityMeasurement(file, plain, fused, executor, progress)
            return try measurement.measured(tool)
        } catch { throw .inference(error) }
    }

    private init(
        _ file: PackedFile, _ plain: CheckpointWeights, _ fused: CheckpointWeights, _ executor: CPU, _ progress: @escaping (Int, Int) -> Void
    ) throws(InferenceError) {
        let packed = try PackedWeights(file)
        self.plain = plain
        exact = try SanaSprintPipeline(weights: plain, on: executor)
        own = try SanaSprintPipeline(weights: packed, on: executor)
        models = MeasuredModels(executor: executor, configuration: own.configuration, packed: packed, fused: fused)
        vae = file.directory.components.contains { $0.name == Component.vaeDecoder.rawValue } ? own.configuration.vae : nil
        let has = Set(file.directory.components.map(\.name))
        readsPrompts = has.contains(Component.textEncoder.rawValue) && has.contains(Component.tokenizer.rawValue)
        walk = try PictureWalk(
            own.configuration, own.frozenSchedule, steps: Self.steps, mostPlans: Self.mostPlans, draws: Self.prompts.count, firstSeed: Self.firstSeed,
            side: Draw.side(atMost: Self.mostSide, own.configuration.transformer))
        (self.file, self.progress) = (file, progress)
    }

    // MARK: - The three models

    private mutating func measured(_ tool: String) throws(InferenceError) -> Quality {
        let told = try features()
        let (exactParts, sixteen) = (exact.parts, models.parts(plain, compute: .bfloat16))
        let reference = try walk.run { moments throws(InferenceError) in try velocities(exactParts, moments, told.reference) }
        let rounded = try follow(sixteen, reference, told.reference, nil)
        let found = try follow(own.parts, reference, told.reference, told.own)
        var figures: [Quality.Velocity] = []
        for (place, moment) in reference.moments.enumerated() {
            for (index, draw) in moment.draws.enumerated() {
                let expected = reference.velocities[place][index]
                figures.append(
                    Quality.Velocity(
                        draw: draw, time: moment.time,
                        sqnr: Quality.Pair(file: Self.sqnr(expected, found.forced[place][index]), sixteen: Self.sqnr(expected, rounded.forced[place][index]))))
            }
        }
        let pictures = try self.pictures(reference.latents, rounded.latents, found.latents)
        var quality = Quality(
            contentHash: file.contentHash, tool: tool, prompts: Self.prompts.count, side: walk.side, velocities: figures, pictures: pictures.figures,
            features: readsPrompts ? zip(told.reference, told.own).map(Self.sqnr) : [], layers: [])
        if quality.word == .fair || quality.word == .poor {
            quality.layers = try Culprits(models: models, entries: file.directory.tensors, guidance: walk.guidance).layers(
                quality, reference, told.reference, pictures.reference)
        }
        return quality
    }

    private mutating func step() {
        done += 1
        progress(done, max(done, total))
    }

    /// Passes over a block, a layer or a decoder.
    private var total: Int {
        let text = readsPrompts ? 2 * (own.configuration.text?.layers ?? 0) : 0
        return text + 3 * walk.rounds * models.layers + (vae == nil ? 0 : 3)
    }

    private mutating func features() throws(InferenceError) -> (reference: [Tensor], own: [Tensor]) {
        guard readsPrompts else {
            let seeded = try Self.prompts.indices.map { index throws(InferenceError) in
                try Draw.seededFeatures(Self.firstSeed + index, own.configuration.transformer)
            }
            return (seeded, seeded)
        }
        return (try exact.promptFeatures(of: Self.prompts) { step() }, try own.promptFeatures(of: Self.prompts) { step() })
    }

    private mutating func velocities(_ parts: ModelParts<CPU>, _ moments: [Moment], _ features: [Tensor]) throws(InferenceError) -> [[Tensor]] {
        try parts.velocities(walk.guidance, moments, features) { step() }
    }

    /// The pictures of another model, and in its first pass over the weights the velocities on the reference's inputs.
    /// - Parameter features: the model's own; nil where they are the reference's.
    private mutating func follow(
        _ parts: ModelParts<CPU>, _ reference: PictureWalk.Result, _ told: [Tensor], _ features: [Tensor]?
    ) throws(InferenceError) -> (forced: [[Tensor]], latents: [[Tensor]]) {
        var forced: [[Tensor]]?
        let own = try walk.run { moments throws(InferenceError) in
            let shifted = features == nil ? moments : moments.map { Moment(time: $0.time, inputs: $0.inputs, draws: $0.draws.map { $0 + told.count }) }
            let all = told + (features ?? [])
            guard forced == nil else { return try velocities(parts, shifted, all) }
            // What begins with the same noise and the same features sees what the reference saw.
            let fresh = features == nil ? [] : shifted
            let results = try velocities(parts, reference.moments + fresh, all)
            forced = Array(results.prefix(reference.moments.count))
            return features == nil ? Array(results.prefix(moments.count)) : Array(results.suffix(moments.count))
        }
        return (forced ?? [], own.latents)
    }

    // MARK: - Pictures

    private mutating func pictures(
        _ reference: [[Tensor]], _ rounded: [[Tensor]], _ found: [[Tensor]]
    ) throws(InferenceError) -> (figures: [Quality.PictureFigures], reference: PictureWalk.Pictures?) {
        guard vae != nil else { return ([], nil) }
        func decoded(_ weights: any WeightSource, _ latents: [[Tensor]]) throws(InferenceError) -> [[Picture?]] {
            let pictures = try models.pictures(weights, Array(latents.joined())).map { image throws(InferenceError) in try Self.picture(image) }
            return stride(from: 0, to: pictures.count, by: latents[0].count).map { Array(pictures[$0..<$0 + latents[0].count]) }
        }
        step()
        let expected = try decoded(plain, reference)
        step()
        let sixteen = try decoded(plain, rounded)
        step()
        let ours = try decoded(models.packed, found)
        var figures: [Quality.PictureFigures] = []
        for (plan, row) in expected.enumerated() {
            for (draw, picture) in row.enumerated() {
                guard let picture else { continue }
                let (file, other) = (Self.likeness(picture, ours[plan][draw]), Self.likeness(picture, sixteen[plan][draw]))
                let ssim = file.ssim.flatMap { file in other.ssim.map { Quality.Pair(file: file, sixteen: $0) } }
                figures.append(
                    Quality.PictureFigures(
                        draw: draw, steps: walk.flows[plan].count, psnr: Quality.Pair(file: file.psnr, sixteen: other.psnr), ssim: ssim))
            }
        }
        let known = expected[0].compactMap { $0 }
        return (figures, known.count == reference[0].count ? PictureWalk.Pictures(latents: reference[0], pictures: known) : nil)
    }

    /// Nil for what is not finite, which is no picture.
    static func picture(_ image: Tensor) throws(InferenceError) -> Picture? { EncodedTensor(image).firstNonfinite == nil ? try Pixels.bytes(image) : nil }

    static func likeness(_ reference: Picture, _ other: Picture?) -> (psnr: Double, ssim: Double?) {
        guard let other else { return (-Quality.mostDecibels, nil) }
        let metrics = PictureMetrics(reference: reference, other: other)
        return (metrics.psnr ?? .infinity, metrics.ssim)
    }

    /// Signal to noise in dB, within what a record may hold; infinite where nothing differs.
    static func sqnr(_ reference: Tensor, _ other: Tensor) -> Double {
        let metrics = Metrics(reference: reference, other: other)
        guard metrics.mismatches == 0 else { return -Quality.mostDecibels }
        return metrics.sqnr.map { min(Quality.mostDecibels, max(-Quality.mostDecibels, $0)) } ?? .infinity
    }
}

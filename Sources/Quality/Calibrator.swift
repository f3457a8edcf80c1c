package import Conversion
import Inference
package import Operations
import Tensors

/// Gathers statistics of what the linears of a checkpoint are given while it draws, in the checkpoint's own precision.
///
/// Blocks are loaded one after the other and serve all draws before the next, so that memory is bounded by one block; a model of any size is read
/// once for each step of a schedule.
package enum Calibrator {
    /// Captions of the kinds that people write, none of which a verdict is measured on.
    package static let prompts = [
        "a red fox in the snow, photograph", "a small orange circle on the right on a white background", "watercolor of a harbor with fishing boats",
        "a yellow square", "close-up of a watch mechanism, macro", "two blue triangles on a gray background",
        "an astronaut riding a horse through a desert at noon", "a girl with a violin on a stage, dramatic light",
    ]

    /// Which of so many parts of the work is done: all of it, unless others do the rest.
    package struct Part: Sendable, Equatable {
        let index: Int
        let count: Int

        /// - Parameter index: from 1.
        /// - Precondition: within 1 ... count.
        package init(_ index: Int = 1, of count: Int = 1) {
            precondition((1...count).contains(index))
            (self.index, self.count) = (index, count)
        }
    }

    /// Schedules that prompts are drawn with, one after the other; what one step sees is the first step of both.
    private static let steps = [2, 4]
    /// The largest side of the latents, and how many of them the decoder is given.
    private static let (mostSide, mostPictures) = (8, 4)

    /// Bytes in use beside the checkpoint's layers, one at a time: the draws between them, and for impacts a stream of tokens for each linear.
    package static func byteCount(_ plan: ConversionPlan, withImpacts: Bool) -> Int {
        let side = Draw.side(atMost: mostSide, plan.configuration.transformer)
        let walk = PictureWalk.byteCount(plan.configuration, side: side, maps: max(prompts.count, ImpactMeasurement<CPU>.mostDraws), pictures: mostPictures)
        return plan.layerByteCount + (plan.tensors.contains { isOfEncoder($0.name) } ? max(walk, encoderByteCount(plan.configuration, side: side)) : walk)
            + (withImpacts ? ImpactMeasurement<CPU>.byteCount(plan.impactUnits, plan.configuration.transformer, side: side) : 0)
    }

    /// Bytes of what the encoder makes of one picture: a map and what it becomes where it is halved, each twice.
    private static func encoderByteCount(_ c: SanaSprintConfiguration, side: Int) -> Int {
        guard let vae = c.vae else { return 0 }
        let stages = vae.encoder.stages
        let maps = stages.indices.map { index in
            let extent = side << (stages.count - 1 - index)
            return extent * extent * stages[index].channels
        }
        let halved = zip(maps, maps.dropFirst() + [0]).map { 2 * ($0 + $1) }
        return MemoryLayout<Float>.stride * (halved.max() ?? 0)
    }

    /// Refuses a calibration of the usual prompts that would take more than the bound.
    package static func check(_ plan: ConversionPlan, within bound: Int, withImpacts: Bool) throws(ConversionError) {
        let needed = byteCount(plan, withImpacts: withImpacts)
        guard needed <= bound else { throw .memoryBound(needed: needed, bound: bound, tensor: ConversionPlan.calibrationPart) }
    }

    private static func isOfControl(_ weight: String) -> Bool { weight.hasPrefix("control.") }
    private static func isOfEncoder(_ weight: String) -> Bool { weight.hasPrefix("vae.enc.") }

    /// - Parameters:
    ///   - plan: of a conversion: its open choices are what statistics are gathered for.
    ///   - withImpacts: whether also what a search goes by.
    package static func run<E: Executor>(
        _ plan: ConversionPlan, prompts: [String] = prompts, part: Part = Part(), withImpacts: Bool = false, on executor: E,
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws(ConversionError) -> InputStatistics {
        let own = prompts.indices.filter { $0 % part.count == part.index - 1 }
        guard !own.isEmpty else {
            throw .statistics("part \(part.index)/\(part.count): expected at least one of \(prompts.count) prompts; make fewer parts")
        }
        let executor = executor.repeatable
        let recorder = InputRecorder(try plan.emptyStatistics(), prompts: own.map { prompts[$0] })
        let weights = try plan.calibratedWeights()
        var impacts: Impacts?
        do throws(InferenceError) {
            let pipeline = try SanaSprintPipeline(weights: weights, on: executor)
            let observing = Observing(executor) { name, rows in recorder.record(name, rows) }
            let all = ModelParts(pipeline.configuration, from: weights, on: observing)
            let layers = pipeline.configuration.transformer.layers
            let schedules = steps.enumerated().map { place, steps in (steps, own.filter { $0 % Self.steps.count == place }) }.filter { !$0.1.isEmpty }
            var draws = try Draws(pipeline, prompts: prompts, steps: steps[0], mostSide: mostSide, withInstruction: false)
            let units = plan.impactUnits
            let measurement =
                withImpacts && !units.linears.isEmpty
                ? ImpactMeasurement(pipeline: pipeline, weights: weights, executor: executor, units: units) : nil
            let isControlled = pipeline.configuration.control != nil && plan.components.contains(.controlnet)
            let total = schedules.reduce(0) { $0 + $1.0 } * layers * (isControlled ? 2 : 1) + (measurement?.passes(draws: own.count, side: draws.side) ?? 0)
            var done = 0
            func step() {
                done += 1
                progress(done, total)
            }
            var latents: [Tensor] = []
            try draws.read(own)
            for (steps, indices) in schedules {
                try draws.follow(.steps(steps))
                let batch = try draws.draws(indices)
                latents += try draws.walk(batch) { time, inputs, features throws(InferenceError) in
                    let moment = Moment(time: time, inputs: inputs, draws: Array(inputs.indices))
                    return try all.velocities(draws.guidance, [moment], features) { step() }[0]
                }
            }
            if isControlled {
                // A control network follows outlines. What the base is given then is none of its statistics: it draws without one too.
                let observing = Observing(executor) { name, rows in if Self.isOfControl(name) { recorder.record(name, rows) } }
                let parts = ModelParts(pipeline.configuration, from: weights, on: observing)
                for (steps, indices) in schedules {
                    try draws.follow(.steps(steps))
                    let pictures = try indices.map { index throws(InferenceError) in try draws.outline(index, all) }
                    _ = try draws.walk(try draws.draws(indices)) { time, inputs, features throws(InferenceError) in
                        let moment = Moment(time: time, inputs: inputs, draws: Array(inputs.indices))
                        return try parts.velocities(draws.guidance, moment, features, following: pictures) { step() }
                    }
                }
            }
            if pipeline.has(.vaeDecoder) {
                let pictures = try all.pictures(Array(latents.prefix(mostPictures)))
                if recorder.gathers(Self.isOfEncoder) { for picture in pictures { _ = try all.encode(picture) } }
            }
            impacts = try measurement.map { measurement throws(InferenceError) in recorder.impacts(of: try measurement.run(&draws, own) { step() }) }
        } catch { throw .calibration(error) }
        var statistics = recorder.statistics
        statistics.impacts = impacts
        return statistics
    }
}

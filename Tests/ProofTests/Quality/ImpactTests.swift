import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import Quality

/// What rounding one unit does to velocities: the wave's answer is that of a whole model with this unit rounded.
@Suite struct ImpactTests {
    private static func plan(_ fixture: String) throws -> ConversionPlan {
        try ConversionPlan(try Checkpoint.open(Fixtures.path(fixture)), ConversionOptions(.int8))
    }

    @Test(arguments: ["mini", "tiny-sprint"]) func everyUnitHasOneForEachDraw(_ fixture: String) throws {
        let plan = try Self.plan(fixture)
        let prompts = ["a red circle", "two cats", "a lighthouse"]
        let statistics = try Calibrator.run(plan, prompts: prompts, withImpacts: true, on: .best)
        let (impacts, units) = (try #require(statistics.impacts), plan.impactUnits)
        #expect(Set(impacts.errors.keys) == Set(units.linears).union(units.text.keys) && !units.text.isEmpty && impacts.draws.count == prompts.count)
        for (name, errors) in impacts.errors { #expect(errors.allSatisfy { $0 > 1e-12 && $0 < 1 }, "\(name): \(errors)") }
        guard fixture == "mini" else { return }
        #expect(try Calibrator.run(plan, prompts: prompts, withImpacts: true, on: .best) == statistics, "equal runs give equal statistics")
        var parts = InputStatistics()
        for index in [2, 1] { try parts.merge(try Calibrator.run(plan, prompts: prompts, part: .init(index, of: 2), withImpacts: true, on: .best)) }
        #expect(parts.impacts?.draws.count == prompts.count)
    }

    @Test func aWaveIsManyModels() throws {
        let plan = try Self.plan("tiny-sprint")
        let weights = try plan.calibratedWeights()
        let pipeline = try SanaSprintPipeline(weights: weights, on: CPU.best)
        var draws = try Draws(pipeline, prompts: ["a red circle", "two cats"], steps: 1, mostSide: 4, withInstruction: false)
        let batch = try draws.draws([0, 1])
        let names = ["dit.blocks.00.ff.in.weight", "dit.blocks.02.self.qkv.weight", "dit.blocks.04.ff.out.weight"]
        func parts(_ source: any WeightSource) -> ModelParts<CPU> { ModelParts(pipeline.configuration, from: source, on: CPU.best) }
        let exact = parts(weights)
        let rounded = names.map { RoundedWeights(checkpoint: weights, rounded: [$0]) }
        let wave = VelocityWave(exact: exact, file: exact, guidance: draws.guidance)
        let candidates = zip(names, rounded).map { VelocityWave.Candidate($0, parts($1)) }
        _ = try draws.walk(batch) { time, inputs, features throws(InferenceError) in
            let results = try wave.run(time: time, inputs: inputs, features: features, candidates: candidates)
            let moment = Moment(time: time, inputs: inputs, draws: [0, 1])
            let velocities = try exact.velocities(draws.guidance, [moment], features)[0]
            for (index, source) in rounded.enumerated() {
                let other = try parts(source).velocities(draws.guidance, [moment], features)[0]
                for draw in 0..<2 {
                    let error = MeasuredModels.error(velocities[draw], other[draw])
                    #expect(abs(results[draw].kept[index] - error) < 1e-3 * error, "\(names[index])")
                }
            }
            #expect(results.allSatisfy { $0.error < 1e-10 })
            return velocities
        }
    }

    @Test func featuresOfExchangedLayersAreThoseOfWholeEncoders() throws {
        let plan = try Self.plan("tiny-sprint")
        let weights = try plan.calibratedWeights()
        let units = plan.impactUnits.text
        func encoder(_ names: [String]) throws -> Gemma2Encoder<CPU> {
            try SanaSprintPipeline(weights: RoundedWeights(checkpoint: weights, rounded: Set(names)), on: CPU.best).textEncoder()
        }
        let pipeline = try SanaSprintPipeline(weights: weights, on: CPU.best)
        let ids = try pipeline.tokenized(["a red circle", "three cats on a roof"], withInstruction: false).map(\.ids)
        let result = try FeatureWave(own: try encoder([]), other: try encoder(Array(units.values.joined()))).run(ids) {}
        func expect(_ found: [Tensor], _ names: [String], _ comment: Comment) throws {
            let expected = try FeatureWave(own: try encoder(names), other: try encoder([])).run(ids) {}.own
            for (left, right) in zip(expected, found) { #expect(left.elements == right.elements, comment) }
        }
        try expect(result.own, [], "the checkpoint's")
        try expect(result.whole, Array(units.values.joined()), "all rounded")
        try expect(result.exchanged[0], units[Impacts.table] ?? [], "the table")
        for layer in 0..<result.exchanged.count - 1 { try expect(result.exchanged[layer + 1], units[Impacts.textLayer(layer)] ?? [], "layer \(layer)") }
        #expect(result.exchanged.count == units.count && result.exchanged[0][0].elements != result.own[0].elements)
    }
}

import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Quality
import Synchronization
import Tensors
import TestKit
import Testing

/// Statistics of a checkpoint that draws.
@Suite struct CalibratorTests {
    private static func plan(_ fixture: String, _ components: ComponentSelection = .standard) throws -> ConversionPlan {
        try ConversionPlan(try Checkpoint.open(Fixtures.path(fixture)), ConversionOptions(.int8, components: components))
    }

    @Test func aCalibrationStaysWithinTheBound() throws {
        let plan = try Self.plan("tiny-sprint")
        try Calibrator.check(plan, within: 64 << 20, withImpacts: false)
        do throws(ConversionError) {
            try Calibrator.check(plan, within: 1 << 20, withImpacts: false)
            Issue.record("a block of the model was to fit into 1 MiB")
        } catch { #expect("\(error)".hasPrefix("calibration: expected a memory bound") && "\(error)".hasSuffix("(--calibration none)"), "\(error)") }
    }

    /// Every linear that is open to choice, with rows of every step: of a block as many as there are tokens, steps and prompts.
    @Test(arguments: [(ComponentSelection.standard, false), (.all, true)])
    func everyOpenLinearIsSeen(components: ComponentSelection, withEncoder: Bool) throws {
        let plan = try Self.plan("mini", components)
        let prompts = ["a red circle", "two cats", "a lighthouse"]
        let statistics = try Calibrator.run(plan, prompts: prompts, on: .best)
        #expect(Set(statistics.layers.keys) == Set(try plan.emptyStatistics().keys) && statistics.prompts == prompts.sorted())
        #expect(statistics.layers.keys.contains { $0.hasPrefix("vae.enc.") } == withEncoder)
        let rows = Set(statistics.layers.filter { $0.key.hasPrefix("dit.blocks.") }.values.map(\.count))
        #expect(rows.count == 1 && rows.allSatisfy { $0 % (2 + 4 + 2) == 0 }, "two prompts in 2 steps, one in 4: \(rows)")
        for (name, layer) in statistics.layers {
            #expect(layer.squares.contains { $0 > 0 } && layer.squares.allSatisfy { $0.isFinite }, "\(name)")
            #expect(layer.samples.count == min(layer.count, InputStatistics.mostSamples), "\(name)")
        }
        #expect(try Calibrator.run(plan, prompts: prompts, on: .best) == statistics, "equal runs give equal statistics")
    }

    /// Models of the calibration run where they are asked to.
    @Test func anotherExecutorGathersTheSame() throws {
        let plan = try Self.plan("mini")
        let prompts = ["a red circle", "two cats"]
        let far = try Calibrator.run(plan, prompts: prompts, withImpacts: true, on: FarExecutor(on: CPU.best.repeatable))
        #expect(try Calibrator.run(plan, prompts: prompts, withImpacts: true, on: .best) == far && far.impacts != nil)
    }

    /// Jobs that know nothing of each other make what one makes, but for the rounding of sums.
    @Test func partsAreTheWhole() throws {
        let plan = try Self.plan("mini")
        let prompts = ["a red circle", "two cats", "a lighthouse", "a green square"]
        let whole = try Calibrator.run(plan, prompts: prompts, on: .best)
        var joined = InputStatistics()
        for index in [2, 1, 3] { try joined.merge(try Calibrator.run(plan, prompts: prompts, part: .init(index, of: 3), on: .best)) }
        #expect(joined.prompts == whole.prompts)
        for (name, layer) in whole.layers where name.hasPrefix("dit.") {
            let other = try #require(joined.layers[name])
            #expect(other.count == layer.count)
            for (left, right) in zip(layer.squares, other.squares) { #expect(abs(left - right) <= 1e-4 * left + 1e-9, "\(name)") }
        }
        #expect(throws: ConversionError.self) { try Calibrator.run(plan, prompts: ["one"], part: .init(2, of: 2), on: .best) }
    }

    /// Whoever listens changes nothing: a block's tokens are those of the executor that is listened to, but for the norm that is then a step.
    @Test func listeningChangesNothing() throws {
        let plan = try Self.plan("mini")
        let weights = try plan.calibratedWeights()
        let configuration = try SanaSprintPipeline(weights: weights, on: .best).configuration
        let heard = Mutex<[String: Int]>([:])
        let listening = Observing(CPU.best) { name, rows in heard.withLock { $0[name, default: 0] += rows.count } }
        let (plain, observed) = (ModelParts(configuration, from: weights, on: CPU.best), ModelParts(configuration, from: weights, on: listening))
        let width = configuration.transformer.width
        var random = SplitMix64(seed: 4)
        func tensor(_ shape: Shape) throws -> Tensor { try Tensor(shape, (0..<shape.elementCount).map { _ in Float.random(in: -1...1, using: &random) }) }
        let (x, modulation, caption) = (try tensor([12, width]), try tensor([6, width]), try tensor([5, width]))
        let expected = try plain.block(0, x, modulation: modulation, caption: caption, height: 3, width: 4)
        let found = try observed.block(0, x, modulation: modulation, caption: caption, height: 3, width: 4)
        for (left, right) in zip(expected.elements, found.elements) { #expect(abs(left - right) <= 2e-5 * max(1, abs(left))) }
        let counts = heard.withLock { $0 }
        #expect(counts["dit.blocks.00.self.qkv.weight"] == 12 * width)
        let output = "dit.blocks.00.ff.out.weight"
        #expect(counts[output] == 12 * (try weights.weight(output).shape.columns))
        #expect(counts["dit.blocks.00.ff.in.weight"] == 12 * width, "both halves are one weight")
    }
}

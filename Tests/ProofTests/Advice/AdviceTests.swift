import Checkpoints
import Conversion
import Foundation
import Inference
import Operations
import PackedFiles
import Parity
import ProbePoints
import Tensors
import TestKit
import Testing

@testable import Proof

/// The advice against leave-one-out by another way: a file for each layer, converted with a rule that keeps it, and whole velocities.
@Suite struct AdviceTests {
    private static let draws = 4
    private static let steps = 2

    private static func options(_ change: (inout Advisor.Options) -> Void = { _ in }) -> Advisor.Options {
        var options = Advisor.Options()
        (options.firstDraws, options.mostDraws, options.steps) = (draws, draws, steps)
        // The models' own size, as a trace of the whole pipeline has it.
        options.mostSide = 64
        change(&options)
        return options
    }

    private let folder: TemporaryFolder

    /// How far two ways to measure one gain may be apart. The advisor multiplies the rows of many draws together. Where a row's sums do not depend on
    /// its neighbours, both ways round the same numbers, and 0.05 dB are left for the order of the sums of errors. OpenBLAS, which multiplies without
    /// AVX-512, sums in another order for other numbers of rows: then some roundings to int8 turn, and each way is a draw with its standard error.
    private static func apart(_ standardError: Double) -> Double {
        CPU.best.prefersPackedProducts ? 0.05 : max(0.05, 3 * 2.0.squareRoot() * standardError)
    }

    init() throws { folder = try TemporaryFolder() }

    @Test("the advised layers are those that ablation by rule files finds", arguments: ["tiny-sprint", "mini"])
    func agreesWithRuleFiles(name: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(name))
        let file = try convert(checkpoint, rules: "")
        let advice = try #require(try Advisor(file, checkpoint, on: .best, Self.options()).advice.first)
        #expect(advice.judgedBy == "velocity" && advice.layers.count > 3)
        let moments = try moments(file, checkpoint)
        let own = try sqnr(file, moments)
        var gains: [String: Double] = [:]
        for entry in file.directory.tensors where entry.component == "transformer" && entry.scheme.isQuantized {
            gains[entry.name] = try gain(sqnr(convert(checkpoint, rules: "\(entry.name) bf16", components: .listed([.transformer])), moments), own)
        }
        #expect(Set(advice.layers.map(\.name)) == Set(gains.keys) && advice.advised.count == 3)
        for layer in advice.layers where layer.draws == Self.draws {
            let gain = try #require(gains[layer.name])
            #expect(abs(layer.gain - gain) < Self.apart(layer.standardError), "\(layer.name)")
        }
        let third = gains.values.sorted(by: >)[2]
        for layer in advice.advised { #expect(try #require(gains[layer.name]) > third - Self.apart(layer.standardError), "\(layer.name)") }

        // What it says of its cost and of all three together holds for a file of these rules.
        let kept = try convert(checkpoint, rules: advice.ruleText)
        let together = try #require(advice.together)
        #expect(Self.storedBytes(kept) - Self.storedBytes(file) == together.addedBytes)
        #expect(abs(together.gain - gain(try sqnr(kept, moments), own)) < Self.apart(together.standardError))
    }

    @Test("the race ends with the layers that leaving out each in turn finds on other inputs", arguments: ["tiny-sprint", "deep"])
    func raceAgainstAllLayers(name: String) throws {
        let checkpoint = try name == "deep" ? DeepCheckpoint.write(to: folder.file(name), layers: 8) : Checkpoint.open(Fixtures.path(name))
        let file = try convert(checkpoint, rules: "")
        if name == "deep" {
            // Heavy tails are no mistake of the conversion.
            let verification = try Verification(file, against: checkpoint, on: .best)
            #expect(verification.passed, "\(verification.findings)")
        }
        var options = Advisor.Options()
        options.mostPictures = 1
        let advice = try #require(try Advisor(file, checkpoint, on: .best, options).advice.first)
        (options.firstDraw, options.firstDraws, options.mostDraws) = (1000, 32, 32)
        let all = try #require(try Advisor(file, checkpoint, on: .best, options).advice.first)
        #expect(all.layers.count >= (name == "deep" ? 48 : 28) && all.layers.allSatisfy { $0.draws == 32 })
        #expect(advice.layers.count == all.layers.count)
        // Of many layers a good part is given up after two draws.
        if name == "deep" { #expect(4 * advice.layers.count { $0.draws < advice.layers[0].draws } > all.layers.count) }
        let third = all.layers[2]
        for layer in advice.advised {
            let found = try #require(all.layers.first { $0.name == layer.name })
            // The race measured with fewer draws, and chose the best of many by what it measured.
            let errors = [found.standardError, third.standardError, layer.standardError]
            let error = errors.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(found.gain >= third.gain - 3 * error, "\(layer.name)")
        }
        if advice.margin?.isDistinct == true { #expect(Set(advice.advised.map(\.name)) == Set(all.advised.map(\.name))) }
    }

    @Test("maps in one product are what each is alone", arguments: [Preset.int8, .bf16])
    func stackedMaps(preset: Preset) throws {
        let weights = try PackedWeights(ProofFixture.file(preset))
        let configuration = try SanaSprintPipeline(weights: weights, on: .best).configuration
        let width = configuration.transformer.width
        var numbers = TorchGenerator(seed: 7)
        func rows(_ count: Int) throws -> Tensor { try Tensor([count, width], numbers.randn(count * width)) }
        let (maps, modulation) = (try (0..<3).map { _ in try rows(12) }, try rows(6))
        let captions = try [5, 1, 17].map { try rows($0) }
        let block = try ModelParts(configuration, from: weights, on: .best).residentBlock(1)
        var together = maps
        let keyValues = try captions.map { try block.keyValues(of: $0) }
        try block.apply(&together, modulation: modulation, keyValues: keyValues, height: 3, width: 4)
        for index in maps.indices {
            let alone = try block(maps[index], modulation: modulation, caption: captions[index], height: 3, width: 4)
            #expect(Metrics(reference: alone, other: together[index]).relativeL2 < 1e-6)
        }
    }

    @Test func theDecoderIsJudgedByThePicture() throws {
        let checkpoint = try Checkpoint.open(ProofFixture.checkpointPath)
        let advice = try Advisor(ProofFixture.file(.int8), checkpoint, on: .best, Self.options()).advice
        #expect(advice.map(\.judgedBy) == ["velocity", "picture"])
        let decoder = try #require(advice.last)
        #expect(decoder.advised.count == 3 && decoder.layers.allSatisfy { $0.name.hasPrefix("vae.dec.") })
        #expect(try #require(decoder.together).gain > decoder.layers[0].gain)
    }

    @Test func aFileWithoutQuantizedLayersNeedsNoAdvice() throws {
        #expect(try Advisor(ProofFixture.file(.bf16), Checkpoint.open(ProofFixture.checkpointPath), on: .best).advice.isEmpty)
    }

    // MARK: - The other way

    private func convert(_ checkpoint: Checkpoint, rules: String, components: ComponentSelection = .all) throws -> PackedFile {
        let path = folder.file("\(UInt64.random(in: 0 ... .max)).sprint")
        let options = ConversionOptions(.int8, rules: try RuleFile(Array(rules.utf8)), components: components)
        _ = try Converter.run(try ConversionPlan(checkpoint, options), on: .best, output: path, tool: "advice tests")
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try PackedFile.open(path)
    }

    private static func storedBytes(_ file: PackedFile) -> Int {
        file.directory.tensors.reduce(0) { $0 + $1.planes.reduce(0) { $0 + Int($1.section.storedByteCount) } }
    }

    private func gain(_ better: [Double], _ own: [Double]) -> Double { zip(better, own).reduce(0) { $0 + $1.0 - $1.1 } / Double(own.count) }

    /// A step of the checkpoint's own run.
    private struct Moment {
        let time: Double
        let guidance: Double
        let features: Tensor
        let input: Tensor
        let output: Tensor
    }

    /// - Parameter prompts: the file whose text encoder reads the prompts.
    private func moments(_ prompts: PackedFile, _ checkpoint: Checkpoint) throws -> [Moment] {
        let reader = try SanaSprintPipeline(weights: PackedWeights(prompts), on: .best)
        let exact = try SanaSprintPipeline(
            weights: CheckpointWeights(checkpoint, fusions: Fusions(names: prompts.directory.fusions), components: .standard), on: .best)
        // Bit for bit the advisor's inputs: a difference in the last place turns some of the roundings, which costs or gains a tenth of a decibel.
        let times = try TimestepPlan.steps(Self.steps).times(maximumSteps: 1000)
        var result: [Moment] = []
        for draw in 0..<Self.draws {
            var request = GenerationRequest(prompt: Advisor.prompts[draw % Advisor.prompts.count], noise: .seed(UInt64(draw)))
            let features = try reader.promptFeatures(Job(request))
            request.promptFeatures = PromptFeatures(features, mask: [Int32](repeating: 1, count: features.rows))
            request.timesteps = .steps(Self.steps)
            let trace = Collector()
            _ = try Engine(exact).run(Job(request, probes: trace))
            for step in 0..<Self.steps {
                func probe(_ name: String) throws -> Tensor {
                    let value = try #require(trace.values["dit.step\(step).\(name)"]).widened()
                    return value.reshaped(Shape(value.shape.extents.count > 1 ? Array(value.shape.extents.dropFirst()) : value.shape.extents))
                }
                let time = TrigFlow(from: times[step], to: times[step + 1], sigma: 0.5).flowTime
                result.append(
                    Moment(
                        time: time, guidance: Double(request.guidance), features: features, input: try probe("input"),
                        output: try probe("output")))
            }
        }
        return result
    }

    /// Signal to noise of the velocity that a file's model has at each moment.
    private func sqnr(_ file: PackedFile, _ moments: [Moment]) throws -> [Double] {
        let transformer = try SanaSprintPipeline(weights: PackedWeights(file), on: .best).transformer(BuiltLayers())
        return try moments.map { moment in
            let prompt = try transformer.prompt(moment.features)
            let velocity = try transformer.velocity(moment.input, time: moment.time, guidance: moment.guidance, prompt: prompt)
            return try #require(Metrics(reference: moment.output, other: velocity).sqnr)
        }
    }

    private final class Collector: ProbeSink {
        var values: [String: EncodedTensor] = [:]
        func wants(_ probe: Probe) -> Bool { probe.step != nil }
        func record(_ probe: Probe, _ value: EncodedTensor) { values[probe.name] = value }
    }
}

import Checkpoints
import Glibc
import Inference
import Operations
import PackedFiles
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Conversion

/// What int8 layers are stored as, by statistics and without.
@Suite struct LayerChoicesTests {
    private static func plan(_ checkpoint: Checkpoint, rules: RuleFile? = nil) throws -> ConversionPlan {
        try ConversionPlan(checkpoint, ConversionOptions(.int8, rules: rules, components: .all))
    }

    /// Inputs of all open layers at random, of which some channels are larger than the others.
    private static func statistics(_ plan: ConversionPlan, outliers: Float = 1) throws -> InputStatistics {
        let recorder = InputRecorder(try plan.emptyStatistics(), prompts: ["random"])
        for (index, layer) in recorder.statistics.layers.sorted(by: { $0.key < $1.key }).enumerated() {
            var random = SplitMix64(seed: UInt64(index))
            let inputs = layer.value.squares.count
            var rows = random.floats(40 * inputs)
            for place in rows.indices where place % inputs % 7 == 3 { rows[place] *= outliers }
            recorder.record(layer.key, try Tensor([40, inputs], rows))
        }
        return recorder.statistics
    }

    @Test func exponentsFollowInputsAndColumns() {
        func exponents(_ inputs: [Double], _ columns: [Double], _ share: Int) -> [Int] {
            LayerChoices.magnitudes(inputs: inputs, columns: columns, share: share).map { Int($0.exponent) }
        }
        // Powers: 2^20 is a root mean square of 2^10, of which a half are 5.
        #expect(exponents([0x1p20, 1, 0x1p-20], [1, 1, 1], 4) == [5, 0, -5])
        #expect(exponents([0x1p20, 0x1p20], [1, 1], 2) == [3, 3])
        #expect(exponents([1, 1], [0x1p20, 0x1p-20], 4) == [-5, 5])
        // Against logarithms, away from halves.
        var random = SplitMix64(seed: 8)
        for _ in 0..<500 {
            let (input, column) = (Double.random(in: 1e-9...1e9, using: &random), Double.random(in: 1e-9...1e9, using: &random))
            for share in 1...6 {
                let exact = (Double(share) * log2(input) - Double(8 - share) * log2(column)) / 16
                guard abs(exact - exact.rounded(.down) - 0.5) > 1e-9 else { continue }
                #expect(exponents([input], [column], share) == [Int(exact.rounded())])
            }
        }
        // A power of two moved from the column to the input moves the exponent by as much.
        for power in -12...12 {
            let factor = Double(sign: .plus, exponent: 2 * power, significand: 1)
            #expect(exponents([3.7 * factor], [0.2 / factor], 3)[0] == exponents([3.7], [0.2], 3)[0] + power)
        }
        // Channels that are never there, and sizes beyond all bounds.
        #expect(exponents([0, 1, .infinity], [1, 0, 1], 4) == [0, 0, 0])
        #expect(exponents([0x1p900], [0x1p-900], 4) == [63])
    }

    @Test func outliersAreBalancedAndTurned() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let plan = try Self.plan(checkpoint)
        let choices = try LayerChoices(plan, Self.statistics(plan, outliers: 200), on: .best)
        #expect(Set(choices.choices.keys) == Set(plan.tensors.filter { $0.storage.activations == .int8PerToken && $0.row.shape.rank == 2 }.map(\.name)))
        for (name, choice) in choices.choices {
            #expect(choice.storage == LayerChoices.balanced && choice.magnitudes.contains { $0 != 1 }, "\(name)")
            #expect(try #require(choice.error) < 0.001, "\(name)")
        }
        // Where all inputs are alike nothing much is to be won, and nothing is lost.
        for (name, choice) in try LayerChoices(plan, Self.statistics(plan), on: .best).choices { #expect(try #require(choice.error) < 0.001, "\(name)") }
    }

    /// The same choices on every instruction set.
    @Test func choicesAreTheSameEverywhere() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("odd"))
        let plan = try Self.plan(checkpoint)
        let statistics = try Self.statistics(plan, outliers: 20)
        let expected = try LayerChoices(plan, statistics, on: .best).json
        for set in InstructionSet.supported {
            for packed in [false, true] { #expect(try LayerChoices(plan, statistics, on: CPU(set, prefersPackedProducts: packed)).json == expected) }
        }
    }

    @Test func whatIsChosenIsStoredAndProven() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let folder = try TemporaryFolder()
        let rules = try RuleFile(Array("dit.blocks.00.self.out.weight int8-per-channel".utf8))
        var options = ConversionOptions(.int8, rules: rules, components: .all)
        let plan = try ConversionPlan(checkpoint, options)
        options.choose(try LayerChoices(plan, Self.statistics(plan, outliers: 50), on: .best))
        let file = try pack(checkpoint, options, in: folder)
        // A rule decides before all choices.
        #expect(file.entry("dit.blocks.00.self.out.weight")?.scheme == .int8PerChannel)
        let balanced = try #require(file.entry("dit.blocks.00.ff.out.weight"))
        #expect(balanced.scheme == .int8Balanced)
        #expect(try file.planes(of: balanced)[2].contents.contains { $0 != 0 })
        #expect(file.verifyIntegrity().isEmpty)
        // The choices travel: they are read from the file, and make the same plan.
        let recorded = try #require(try LayerChoices(policy: file.directory.policy, schemes: .builtIn))
        var again = ConversionOptions(.int8, rules: rules, components: .all)
        again.choose(recorded)
        for tensor in try ConversionPlan(checkpoint, again).tensors { #expect(file.entry(tensor.name)?.scheme == tensor.storage.scheme, "\(tensor.name)") }
        let rederivation = try Rederivation(file, checkpoint, on: .best)
        for entry in file.directory.tensors { #expect(try rederivation.check(entry).holds, "\(entry.name)") }
    }

    /// Of weights alone: a copy with channels made larger and taken smaller again becomes the same codes.
    @Test func withoutStatisticsExactPairsAreUndone() throws {
        let folder = try TemporaryFolder()
        try PlantedCheckpoint.copy(Fixtures.path("tiny-sprint"), to: folder.file("planted"), share: 0.05, maxPower: 10)
        var codes: [[String: [UInt8]]] = []
        for path in [Fixtures.path("tiny-sprint"), folder.file("planted")] {
            let checkpoint = try Checkpoint.open(path)
            var options = ConversionOptions(.int8, components: .listed([.transformer, .vaeDecoder]))
            options.choose(try LayerChoices(dataFree: try ConversionPlan(checkpoint, options)))
            let file = try pack(checkpoint, options, in: try TemporaryFolder())
            codes.append(
                try Dictionary(
                    uniqueKeysWithValues: file.directory.tensors.filter { $0.scheme == .int8Balanced }.map { ($0.name, try file.planes(of: $0)[0].contents) }))
        }
        #expect(codes[0].count > 30 && codes[0] == codes[1])
    }

    @Test func statisticsOfAnotherModelAreRefused() throws {
        let (tiny, mini) = (try Self.plan(try Checkpoint.open(Fixtures.path("tiny-sprint"))), try Self.plan(try Checkpoint.open(Fixtures.path("mini"))))
        func refusal(_ statistics: InputStatistics) -> String {
            do throws(ConversionError) { _ = try LayerChoices(mini, statistics, on: .best) } catch { return "\(error)" }
            return "none"
        }
        #expect(refusal(try Self.statistics(tiny)).contains("calibrate this checkpoint"))
        #expect(refusal(InputStatistics()).contains("another configuration"))
        var edited = try EditableCheckpoint("mini")
        try edited.change("transformer", "transformer_blocks.0.attn1.to_q.weight") { $0[0] += 1 }
        let folder = try TemporaryFolder()
        let other = try Self.plan(try edited.write(to: folder.file("edited")))
        let words = refusal(try Self.statistics(other))
        #expect(words.contains("dit.blocks.00.self.qkv.weight") && words.contains("calibrate this checkpoint"), "\(words)")
    }
}

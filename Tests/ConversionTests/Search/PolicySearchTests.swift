import Checkpoints
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import Conversion

/// Policies for a size and for a ratio, from statistics at random.
@Suite struct PolicySearchTests {
    private static let plan: ConversionPlan = {
        guard let checkpoint = try? Checkpoint.open(Fixtures.path("tiny-sprint")),
            let plan = try? ConversionPlan(checkpoint, ConversionOptions(.int8, components: .listed([.transformer, .textEncoder, .tokenizer])))
        else { preconditionFailure("the fixture has no plan") }
        return plan
    }()

    /// Impacts that grow from unit to unit.
    private static func statistics(draws: Int = 3) throws -> InputStatistics {
        let recorder = InputRecorder(try plan.emptyStatistics(), prompts: ["random"])
        for (index, layer) in recorder.statistics.layers.sorted(by: { $0.key < $1.key }).enumerated() {
            var random = SplitMix64(seed: UInt64(index))
            let inputs = layer.value.squares.count
            recorder.record(layer.key, try Tensor([40, inputs], random.floats(40 * inputs)))
        }
        var statistics = recorder.statistics
        let units = plan.impactUnits
        let names = (units.linears + units.text.keys).sorted()
        statistics.impacts = recorder.impacts(
            of: Dictionary(
                uniqueKeysWithValues: names.enumerated().map { index, name in (name, (0..<draws).map { 1e-5 * Double((index + 1) * ($0 + 1)) }) }))
        return statistics
    }

    private static func bits(_ choices: LayerChoices) -> [String: Int] {
        choices.choices.mapValues { $0.storage.scheme.traceWord == "int4" ? 4 : $0.storage.scheme.isQuantized ? 8 : 16 }
    }

    @Test func everyUnitIsDecidedAndSizesAreKept() throws {
        let search = try PolicySearch(Self.plan, try Self.statistics(), on: .best)
        let units = Self.plan.impactUnits
        var last = (velocity: -Double.infinity, bytes: 0.0)
        let least = try search.policy(for: .sqnr(-100)).prediction.bytes ?? 0
        let most = try search.policy(for: .sqnr(400)).prediction.bytes ?? 0
        #expect(least < 0.6 * most)
        for share in stride(from: 0.0, through: 1, by: 0.25) {
            let asked = UInt64(least + share * (most - least) + 1)
            let (choices, prediction) = try search.policy(for: .bytes(asked))
            #expect(Set(choices.choices.keys) == Set(units.linears).union(units.text.values.joined()))
            let bytes = try #require(prediction.bytes)
            #expect(bytes <= Double(asked) && bytes >= 0.97 * Double(asked), "\(bytes) of \(asked)")
            #expect(bytes >= last.bytes && prediction.isBest == (share == 1))
            last = (prediction.velocity, bytes)
        }
        let best = try search.policy(for: .bytes(UInt64(2 * most)))
        #expect(best.prediction.isBest && Self.bits(best.choices).values.allSatisfy { $0 == 16 })
        #expect(Self.bits(try search.policy(for: .sqnr(-100)).choices).values.allSatisfy { $0 == 4 })
    }

    @Test func bitsGoWhereTheImpactIs() throws {
        var statistics = try Self.statistics()
        let units = Self.plan.impactUnits
        let heavy = "dit.blocks.02.cross.q.weight"
        statistics.impacts = Impacts(
            draws: [1], errors: try #require(statistics.impacts).errors.mapValues { _ in [1e-6] }.merging([heavy: [1]]) { $1 })
        let (choices, prediction) = try PolicySearch(Self.plan, statistics, on: .best).policy(for: .share(0.1))
        let bits = Self.bits(choices)
        #expect(bits[heavy] == 16, "it is a small one")
        #expect(units.linears.filter { bits[$0] == 4 }.count > units.linears.count / 2)
        #expect(units.text.values.joined().allSatisfy { bits[$0] == nil } && prediction.features == nil, "a share is of the transformer alone")
    }

    @Test func aPredictedSizeIsThatOfTheFile() throws {
        let folder = try TemporaryFolder()
        let (choices, prediction) = try PolicySearch(Self.plan, try Self.statistics(), on: .best).policy(for: .bytes(4_000_000))
        var options = Self.plan.options
        options.choose(choices)
        let plan = try ConversionPlan(Self.plan.checkpoint, options)
        let summary = try Converter.run(plan, on: .best, output: folder.file("a.sprint"), tool: "test")
        let predicted = try #require(prediction.bytes)
        // Beside the directory and alignment, of which a small file has many for its bytes.
        #expect(abs(Double(summary.totalByteCount) - predicted) < 0.02 * predicted, "\(summary.totalByteCount) for \(predicted)")
        for tensor in summary.directory.tensors { #expect(choices[tensor.name].map { $0.storage.scheme == tensor.scheme } ?? true, "\(tensor.name)") }
    }

    @Test func anEarlierFileCorrects() throws {
        let search = try PolicySearch(Self.plan, try Self.statistics(), on: .best)
        let (plain, more) = (try search.policy(for: .sqnr(30)), try search.policy(for: .sqnr(30), correction: (0, 2)))
        #expect((more.prediction.bytes ?? 0) > (plain.prediction.bytes ?? 0) && more.prediction.velocity >= 30)
        let less = try search.policy(for: .bytes(4_000_000), correction: (200_000, 0)).prediction
        #expect(try #require(less.bytes) <= 4_000_000 && less.velocity < (try search.policy(for: .bytes(4_000_000)).prediction.velocity))
    }

    @Test func whatCannotBeSearchedIsRefused() throws {
        func refusal(_ statistics: InputStatistics, _ goal: PolicySearch.Goal = .bytes(1000)) -> String {
            do throws(ConversionError) { _ = try PolicySearch(Self.plan, statistics, on: .best).policy(for: goal) } catch { return "\(error)" }
            return "none"
        }
        let statistics = try Self.statistics()
        #expect(refusal(statistics).hasPrefix("search: expected at least ") && refusal(statistics).hasSuffix(", found 1000"))
        var others = statistics
        others.impacts = nil
        #expect(refusal(others).contains("expected impacts, which a search goes by, found none"))
        others.impacts = Impacts(draws: [1], errors: ["dit.blocks.00.cross.q.weight": [1]])
        #expect(refusal(others).contains("dit.blocks.00.cross.out.weight: expected its impact, found none"))
    }

    @Test func impactsJoinInAnyOrderAndComeBack() throws {
        func part(_ draws: [UInt64]) -> Impacts { Impacts(draws: draws, errors: ["a": draws.map { Double($0) }, "b": draws.map { 2 * Double($0) }]) }
        var joined = [part([5, 1, 9]), part([7, 2])]
        let second = joined[1]
        try joined[1].merge(joined[0])
        try joined[0].merge(second)
        #expect(joined[0] == joined[1] && joined[0].draws == [1, 2, 5, 7, 9] && joined[0].errors["b"] == [2, 4, 10, 14, 18])
        var many = part(Array(0..<UInt64(Impacts.mostDraws)).map { 2 * $0 })
        try many.merge(part([3, 1001]))
        #expect(many.draws.count == Impacts.mostDraws && many.draws.contains(3) && !many.draws.contains(1001))
        #expect(throws: ConversionError.self) { try joined[0].merge(part([9])) }
        #expect(throws: ConversionError.self) { try joined[0].merge(Impacts(draws: [3], errors: ["a": [1]])) }
        let folder = try TemporaryFolder()
        let statistics = try Self.statistics()
        try statistics.write(to: folder.file("a.cal"), replace: false)
        #expect(try InputStatistics(reading: folder.file("a.cal")) == statistics)
        var without = statistics
        without.impacts = nil
        #expect(throws: ConversionError.self) { try without.merge(statistics) }
    }
}

import FuzzKit
import TestKit
import Testing

/// What the fuzzers start from, and what they found.
@Suite struct FuzzVectorTests {
    @Test("the seeds of every fuzzer are read, so that mutations begin behind the first checks", arguments: ParserUnderFuzz.all.map(\.name))
    func seeds(_ name: String) throws {
        let parser = try #require(ParserUnderFuzz.all.first { $0.name == name })
        let seeds = try parser.seeds()
        #expect(!seeds.isEmpty)
        for (number, seed) in seeds.enumerated() {
            let outcome = try parser.outcome(of: seed)
            #expect(outcome == .accepted, "seed \(number): \(outcome)")
        }
    }

    @Test("what is cut or exchanged is refused in words or is sound", arguments: ParserUnderFuzz.all.map(\.name)) func damaged(_ name: String) throws {
        let parser = try #require(ParserUnderFuzz.all.first { $0.name == name })
        var random = SplitMix64(seed: 16)
        let seeds = try parser.seeds()
        var refused = 0
        for number in 0..<200 {
            var input = seeds[number % seeds.count]
            for _ in 0...number % 3 { input = Fuzzing.damage(input, using: &random) }
            if try parser.outcome(of: input) != .accepted { refused += 1 }
        }
        #expect(refused > 0 || name == "prompt")
    }
}

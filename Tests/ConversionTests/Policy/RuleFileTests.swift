import Checkpoints
import Inference
import PackedFiles
import StrictJSON
import TestKit
import Testing

@testable import Conversion

@Suite struct RuleFileTests {
    @Test func readsLinesCommentsAndSpaces() throws {
        let file = try rules("# all\n\n  dit.*\tbf16  # storage\r\ntext.embed.weight int8-per-channel float\n*  f32")
        #expect(file.rules.map(\.line) == [3, 4, 5])
        #expect(file.rules.map(\.text) == ["dit.* bf16", "text.embed.weight int8-per-channel float", "* f32"])
        #expect(file.rules.map(\.scheme) == [.bf16, .int8PerChannel, .f32])
        #expect(file.rules.map(\.activations) == [nil, .float, nil])
    }

    @Test(arguments: [
        ("dit.*", 1, "found 1 word"),
        ("\ndit.* bf16 float extra", 2, "found 4 words"),
        ("dit.* q8_0", 1, "unknown scheme \"q8_0\"; supported are f32, f16, bf16, int8-per-channel, int8-rotated"),
        ("dit.* int8-per-channel half", 1, "unknown activations \"half\"; supported are float, int8-per-token"),
        ("dit.* bf16 float", 1, "bf16 takes no activations"),
    ])
    func refuses(text: String, line: Int, message: String) throws {
        guard case .rule(let found, let words) = conversionError({ _ = try rules(text) }) else {
            Issue.record("no error about a rule")
            return
        }
        #expect(found == line)
        #expect(words.contains(message))
    }

    @Test func refusesOtherBytesThanUTF8() {
        #expect(conversionError { _ = try RuleFile([0x64, 0xFF, 0x20]) } == .rulesNotUTF8)
    }

    /// What only shows with the names of a model: rules that decide nothing, and schemes that cannot hold a tensor.
    @Test(arguments: [
        ("dit.block.* bf16", 1, "matches no tensor"),
        ("dit.* bf16\ndit.out.weight f32", 2, "decides nothing: line 1"),
        ("*.bias int8-per-channel", 1, "cannot hold"),
        ("*.ff.depth.weight int8-per-channel", 1, "a depthwise"),
        ("dit.blocks.00.self.k_norm.weight int8-per-channel", 1, "a norm"),
        ("vae.dec.*.up.weight int8-rotated", 1, "int8-rotated"),
        ("text.embed.weight int8-per-channel int8-per-token", 1, "has no int8-per-token arithmetic"),
        ("vae.dec.*.point.weight int8-per-channel int8-per-token", 1, "has no int8-per-token arithmetic"),
    ])
    func refusesForTheModel(text: String, line: Int, message: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        guard case .rule(let found, let words) = conversionError({ _ = try ConversionPlan(checkpoint, ConversionOptions(.int8, rules: rules(text))) })
        else {
            Issue.record("no error about a rule")
            return
        }
        #expect(found == line)
        #expect(words.contains(message), "\(words)")
    }

    @Test func nearestNameIsOffered() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let error = conversionError { _ = try ConversionPlan(checkpoint, ConversionOptions(.int8, rules: rules("dit.outt.weight f32"))) }
        #expect(error?.description.contains("dit.out.weight") == true)
    }

    @Test func firstMatchDecidesAndIsRecorded() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let text = "dit.out.weight f32\n*.cross.kv.weight   int8-per-channel # more\ndit.o* bf16"
        let plan = try ConversionPlan(checkpoint, ConversionOptions(.int8, rules: rules(text)))
        func tensor(_ name: String) throws -> PlannedTensor { try #require(plan.tensors.first { $0.name == name }) }
        #expect(try tensor("dit.out.weight").storage == Storage(.f32))
        #expect(try tensor("dit.out.weight").ruleLine == 1)
        #expect(try tensor("dit.blocks.00.cross.kv.weight").storage == Storage(.int8PerChannel, activations: .float))
        #expect(try tensor("dit.out.bias").ruleLine == 3)
        #expect(try tensor("dit.patch.weight").ruleLine == nil)
        let folder = try TemporaryFolder()
        let file = try pack(checkpoint, ConversionOptions(.int8, rules: rules(text)), in: folder)
        #expect(file.directory.policy["rules"]?.array?.map(\.string) == ["dit.out.weight f32", "*.cross.kv.weight int8-per-channel", "dit.o* bf16"])
        #expect(file.entry("dit.out.weight")?.scheme == .f32)
    }
}

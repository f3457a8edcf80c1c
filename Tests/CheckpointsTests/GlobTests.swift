import Testing

@testable import Checkpoints

@Suite struct GlobTests {
    @Test(arguments: [
        ("dit.*", "dit.blocks.00.self.qkv.weight", true),
        ("dit.*", "text.embed.weight", false),
        ("*.weight", "dit.out.weight", true),
        ("*.weight", "dit.out.bias", false),
        ("dit.blocks.0?.ff.*", "dit.blocks.03.ff.in.weight", true),
        ("dit.blocks.0?.ff.*", "dit.blocks.13.ff.in.weight", false),
        ("*ff*in*", "dit.blocks.03.ff.in.weight", true),
        ("*", "", true),
        ("?", "", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-b-b-d", false),
        ("dit", "dit.patch.weight", false),
        ("**a", "ba", true),
    ])
    func matches(pattern: String, name: String, expected: Bool) {
        #expect(Glob(pattern).matches(name) == expected)
    }

    /// A pattern that makes naive matchers take exponential time.
    @Test func manyStarsEnd() {
        let pattern = String(repeating: "a*", count: 200) + "b"
        #expect(!Glob(pattern).matches(String(repeating: "a", count: 500)))
    }
}

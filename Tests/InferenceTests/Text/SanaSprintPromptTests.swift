import Safetensors
import StrictJSON
import Tensors
import Testing

@testable import Inference

struct SanaSprintPromptTests {
    private static func tokenizer(_ checkpoint: String = "tiny-sprint") throws -> GemmaTokenizer {
        try GemmaTokenizer(FixtureFiles.bytes("\(checkpoint)/tokenizer/tokenizer.json"))
    }

    private static func integers(_ file: SafetensorsFile, _ name: String) throws -> [Int32] {
        let tensor = try file.read(name)
        try #require(tensor.dtype == .i32)
        return unsafe Array(tensor.bytes.bindMemory(to: Int32.self))
    }

    @Test(
        "ids, mask and kept positions are those that diffusers computed",
        arguments: [
            ("tiny-sprint", "tiny-sprint/goldens/steps1"), ("tiny-sprint", "tiny-sprint/goldens/steps2"), ("tiny-sprint", "tiny-sprint/goldens/steps4"),
            ("tiny-sprint", "traces/tiny-nonsquare-float32"), ("tiny-sprint", "traces/tiny-paper4-float32"), ("tiny-sprint", "traces/tiny-plain-float32"),
            ("mini", "traces/mini-float32"), ("odd", "traces/odd-float32"),
        ])
    func traces(checkpoint: String, trace: String) throws {
        let file = try SafetensorsFile.open(FixtureFiles.path("\(trace).safetensors"))
        let text = try #require(file.header.metadata.first { $0.key == "meta" }?.value)
        let meta = try JSONValue.parse(Array(text.utf8))
        let typed = try #require(meta["prompt"]?.string)
        let withInstruction: Bool? = meta["instruction"]?.bool
        let prompt = SanaSprintPrompt(typed, tokenizer: try Self.tokenizer(checkpoint), withInstruction: try #require(withInstruction as Bool?))
        #expect(prompt.paddedIDs == (try Self.integers(file, "text.input_ids")))
        #expect(prompt.attentionMask == (try Self.integers(file, "text.attention_mask")))
        #expect(prompt.promptMask == (try Self.integers(file, "prompt_mask")))
        #expect(prompt.truncatedTokenCount == 0)
        #expect(prompt.promptMask.reduce(0, +) == Int32(prompt.keptPositions.count))
    }

    @Test("the instruction is diffusers', and its last space becomes part of the prompt's first token")
    func instruction() throws {
        #expect(SanaSprintInstruction.lines.count == 8)
        #expect(SanaSprintInstruction.text.utf8.count == 1057)
        #expect(SanaSprintInstruction.text.hasSuffix("\nUser Prompt: "))
        let tokenizer = try Self.tokenizer()
        let instruction = tokenizer.encode(SanaSprintInstruction.text)
        let prompt = SanaSprintPrompt("A Red Circle ", tokenizer: tokenizer)
        #expect(Array(prompt.ids.prefix(instruction.count - 1)) == Array(instruction.dropLast()))
        #expect(prompt.keptPositions == [0] + Array(instruction.count - 1..<prompt.ids.count))
    }

    @Test("what does not fit is cut off at the end and counted", arguments: [true, false])
    func truncation(withInstruction: Bool) throws {
        let tokenizer = try Self.tokenizer()
        let long = String(repeating: "a large red circle ", count: 200)
        let cut = SanaSprintPrompt(long, tokenizer: tokenizer, withInstruction: withInstruction)
        let whole = SanaSprintPrompt(long, tokenizer: tokenizer, withInstruction: withInstruction, maximumLength: 10_000)
        #expect(whole.truncatedTokenCount == 0)
        #expect(cut.truncatedTokenCount == whole.ids.count - cut.ids.count)
        #expect(cut.truncatedTokenCount > 0)
        #expect(cut.ids == Array(whole.ids.prefix(cut.ids.count)))
        #expect(cut.paddedIDs == cut.ids)
        #expect(cut.keptPositions.count == 300)
        #expect(cut.promptMask == [Int32](repeating: 1, count: 300))
        #expect(cut.keptPositions.last == cut.ids.count - 1)
    }

    @Test("one more token than fits is one that is cut", arguments: [2, 3, 50, 300])
    func boundary(maximumLength: Int) throws {
        let tokenizer = try Self.tokenizer()
        // Every "日" is three byte tokens, so lengths are exact: <bos> and three for each.
        let text = String(repeating: "日", count: 200)
        let prompt = SanaSprintPrompt(text, tokenizer: tokenizer, withInstruction: false, maximumLength: maximumLength)
        #expect(prompt.ids.count == maximumLength)
        #expect(prompt.truncatedTokenCount == 601 - maximumLength)
        #expect(prompt.keptPositions == Array(0..<maximumLength))
    }

    @Test("an empty prompt leaves <bos> and, behind the instruction, its last space")
    func empty() throws {
        let tokenizer = try Self.tokenizer()
        let plain = SanaSprintPrompt(" \n", tokenizer: tokenizer, withInstruction: false)
        #expect(plain.ids == [2])
        #expect(plain.keptPositions == [0])
        #expect(plain.promptMask == [1] + [Int32](repeating: 0, count: 299))
        let instructed = SanaSprintPrompt("", tokenizer: tokenizer)
        #expect(instructed.keptPositions == [0, instructed.ids.count - 1])
    }
}

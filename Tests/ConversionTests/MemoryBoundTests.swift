import Conversion
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@Suite struct MemoryBoundTests {
    /// An embedding whose planes and float32 values do not fit below the bound together: in a process of its own, where the peak is this conversion's.
    @Test func largeTensorStaysBelowTheBound() async {
        await #expect(processExitsWith: .success) {
            var edited = try EditableCheckpoint("mini")
            let width = try #require(edited["text_encoder", "embed_tokens.weight"]).shape[1]
            let rows = (12 << 20) / width
            let large = try EncodedTensor(dtype: .bf16, shape: [rows, width])
            var random = SplitMix64(seed: 7)
            let words = unsafe large.buffer.mutableBytes.assumingMemoryBound(to: UInt64.self)
            // Four values of 2^-3 to 2^-2, of either sign, at once.
            for index in 0..<words.count { unsafe words[index] = random.next() & 0x807F_807F_807F_807F | 0x3E00_3E00_3E00_3E00 }
            edited["text_encoder", "embed_tokens.weight"] = large
            try edited.changeVocabulary(to: rows)
            let folder = try TemporaryFolder()
            let checkpoint = try edited.write(to: folder.file("checkpoint"))
            let held = Memory.inUse
            let bound = 80 << 20
            let options = ConversionOptions(.int8, memoryBound: bound)
            let plan = try ConversionPlan(checkpoint, options)
            precondition(plan.memoryNeeded <= bound)
            // What goes beyond is refused, and the conversion fails.
            Memory.allow(held + bound)
            _ = try Converter.run(plan, on: .best, output: folder.file("model.sprint"), tool: tool)
            let file = try PackedFile.open(folder.file("model.sprint"))
            precondition(file.entry("text.embed.weight")?.shape == [rows, width])
        }
    }
}

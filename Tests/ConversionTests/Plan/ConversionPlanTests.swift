import Checkpoints
import Files
import Glibc
import Inference
import Operations
import PackedFiles
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Conversion

@Suite struct ConversionPlanTests {
    /// The weight files lose their data once they are open: a plan that read any of it would fail, as the conversion then does.
    @Test func takesHeadersOnly() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try EditableCheckpoint("mini").write(to: folder.file("checkpoint"))
        for (_, component) in checkpoint.components {
            for file in component.files {
                let header = try #require(file as? SafetensorsFile).header
                #expect(unsafe truncate(file.path, off_t(header.dataOffset)) == 0)
            }
        }
        let plan = try ConversionPlan(checkpoint, ConversionOptions(.bf16))
        #expect(plan.tensors.count > 100)
        #expect(plan.sourceByteCount == plan.packedByteCount)
        #expect(throws: ConversionError.self) { try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: tool) }
        #expect(!Paths.exists(folder.file("x.sprint")))
    }

    @Test(arguments: ["mini", "odd", "tiny-sprint"])
    func claimsEveryTensorOnce(fixture: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        for fusions in [Fusions.lossless, [.lossless, .queryNorm], []] {
            let plan = try ConversionPlan(checkpoint, ConversionOptions(.int8, fusions: fusions, components: .all))
            let names = plan.tensors.flatMap { tensor in (tensor.sources + tensor.operands).map { "\(tensor.component.folder ?? "")/\($0.name)" } }
            let all = checkpoint.components.values.flatMap { component in component.tensorNames.map { "\(component.name)/\($0)" } }
            #expect(names.sorted() == all.sorted())
        }
    }

    @Test func componentsAreChosen() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        func components(_ selection: ComponentSelection) throws -> [Component] {
            try ConversionPlan(checkpoint, ConversionOptions(.bf16, components: selection)).components
        }
        #expect(try components(.standard) == [.transformer, .vaeDecoder, .textEncoder, .tokenizer, .prefixCache, .certificate, .quality])
        #expect(try components(.all) == [.transformer, .vaeDecoder, .vaeEncoder, .textEncoder, .tokenizer, .prefixCache, .certificate, .quality])
        #expect(try components(ComponentSelection("text-encoder,transformer,text-encoder")) == [.transformer, .textEncoder])
        #expect(try ComponentSelection("all") == .all)
        for text in ["", "vae", "prefix cache", "transformer,"] {
            #expect(throws: ConversionError.self, "\(text)") { try ComponentSelection(text) }
        }
    }

    @Test func sizesAreThoseOfThePlanes() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let folder = try TemporaryFolder()
        for preset in Preset.allCases {
            let plan = try ConversionPlan(checkpoint, ConversionOptions(preset))
            let file = try pack(checkpoint, ConversionOptions(preset), in: folder)
            let planes = file.directory.tensors.flatMap(\.planes).reduce(0) { $0 + $1.section.contentByteCount }
            #expect(plan.packedByteCount == planes)
            #expect(plan.json["packedBytes"]?.integer == Int64(planes))
            #expect(plan.json["tensors"]?.array?.count == file.directory.tensors.count)
            #expect(plan.totals.reduce(0) { $0 + $1.tensors } == plan.tensors.count)
        }
    }

    /// Everything that is wrong comes at once, with the names that were probably meant.
    @Test func namesEveryTensorThatDoesNotFit() throws {
        var edited = try EditableCheckpoint("mini")
        let bias = try #require(edited["transformer", "proj_out.bias"])
        edited["transformer", "proj_out.bias"] = nil
        edited["transformer", "proj_out.bais"] = bias
        edited["transformer", "logvar"] = bias
        edited["text_encoder", "norm.weight"] = nil
        let table = try #require(edited["transformer", "scale_shift_table"])
        edited["transformer", "scale_shift_table"] = EncodedTensor(dtype: table.dtype, shape: [table.shape[1], 2], buffer: table.buffer)
        let norm = try #require(edited["transformer", "caption_norm.weight"])
        edited["transformer", "caption_norm.weight"] = EncodedTensor(dtype: .i16, shape: norm.shape, buffer: norm.buffer)
        let folder = try TemporaryFolder()
        let checkpoint = try edited.write(to: folder.file("checkpoint"))
        guard case .tensors(_, let problems) = conversionError({ _ = try ConversionPlan(checkpoint, ConversionOptions(.bf16)) }) else {
            Issue.record("no error about tensors")
            return
        }
        #expect(problems.contains(.unclaimed(name: "proj_out.bais", nearest: ["proj_out.bias"])))
        #expect(problems.contains(.missing(name: "proj_out.bias", row: "dit.out.bias", nearest: ["proj_out.bais"])))
        #expect(problems.contains(.unclaimed(name: "logvar", nearest: [])))
        #expect(problems.contains(.missing(name: "norm.weight", row: "text.norm.weight", nearest: [])))
        #expect(problems.contains(.shape(name: "scale_shift_table", expected: table.shape, found: [table.shape[1], 2])))
        #expect(problems.contains(.dtype(name: "caption_norm.weight", found: .i16)))
        #expect(problems.count == 6)
    }

    /// A decoder is converted without the encoder being there; an encoder that is there is no surplus.
    @Test func encoderMayBeAbsent() throws {
        var edited = try EditableCheckpoint("mini")
        edited.tensors["vae"]?.removeAll { $0.name.hasPrefix("encoder.") }
        let folder = try TemporaryFolder()
        let checkpoint = try edited.write(to: folder.file("checkpoint"))
        #expect(try ConversionPlan(checkpoint, ConversionOptions(.bf16)).tensors.contains { $0.component == .vaeDecoder })
        #expect(throws: ConversionError.self) { try ConversionPlan(checkpoint, ConversionOptions(.bf16, components: .all)) }
    }

    @Test func boundBelowOneRowIsAnError() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let options = ConversionOptions(.bf16, memoryBound: 1 << 20)
        guard case .memoryBound(let needed, 1_048_576, _) = conversionError({ _ = try ConversionPlan(checkpoint, options) }) else {
            Issue.record("no error about the bound")
            return
        }
        #expect(needed > 1 << 20)
        // What could be left out is only named where nothing else is too large.
        #expect(!"\(ConversionError.memoryBound(needed: needed, bound: 1 << 20, tensor: "dit.patch.weight"))".contains("--components"))
        #expect("\(ConversionError.memoryBound(needed: needed, bound: 1 << 20, tensor: "certificate"))".contains("--components"))
        #expect(try ConversionPlan(checkpoint, ConversionOptions(.bf16)).memoryNeeded <= ConversionOptions.defaultMemoryBound)
    }
}

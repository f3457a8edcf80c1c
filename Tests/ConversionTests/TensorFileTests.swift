import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import Conversion

/// Weights that come from something else than safetensors.
@Suite struct TensorFileTests {
    private func inMemory(_ fixture: String, scratchByteCount: Int = 0) throws -> Checkpoint {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        return try checkpoint.components.values.filter { !$0.files.isEmpty }.reduce(checkpoint) { checkpoint, component in
            try checkpoint.replacing(component.name, files: component.files.map { try MemoryFile(copying: $0, scratchByteCount: scratchByteCount) })
        }
    }

    @Test("a checkpoint in memory is packed to the same bytes", arguments: [("mini", Preset.int8), ("odd", .bf16)])
    func sameBytes(fixture: String, preset: Preset) throws {
        let folder = try TemporaryFolder()
        let options = ConversionOptions(preset, components: .all)
        _ = try pack(Checkpoint.open(Fixtures.path(fixture)), options, in: folder, as: "a.sprint")
        let checkpoint = try inMemory(fixture)
        let file = try pack(checkpoint, options, in: folder, as: "b.sprint")
        #expect(try contents(folder.file("a.sprint")) == contents(folder.file("b.sprint")))
        let rederivation = try Rederivation(file, checkpoint, on: .best)
        for entry in file.directory.tensors { #expect(try rederivation.check(entry).holds, "\(entry.name)") }
    }

    @Test func whatReadingTakesIsPlannedFor() throws {
        let scratch = 3 << 20
        func plan(_ checkpoint: Checkpoint, bound: Int) throws -> ConversionPlan {
            let components = ComponentSelection.listed([.transformer])
            return try ConversionPlan(checkpoint, ConversionOptions(.bf16, components: components, memoryBound: bound))
        }
        guard case .memoryBound(let needed, _, _) = conversionError({ _ = try plan(try inMemory("mini"), bound: 1 << 20) }),
            case .memoryBound(let more, _, _) = conversionError({ _ = try plan(try inMemory("mini", scratchByteCount: scratch), bound: 1 << 20) })
        else {
            Issue.record("no error about the bound")
            return
        }
        #expect(more == needed + scratch)
    }

    @Test func aChangedFileEndsTheConversion() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let folder = try TemporaryFolder()
        let files = try #require(checkpoint.components["transformer"]).files
        var file = try MemoryFile(copying: files[0])
        file.hasChanged = true
        let changed = try checkpoint.replacing("transformer", files: [file] + files.dropFirst())
        let error = conversionError { _ = try pack(changed, ConversionOptions(.bf16), in: folder) }
        #expect(error == .checkpoint(.file(.changedWhileReading(path: file.path))))
        #expect(!Paths.exists(folder.file("model.sprint")))
    }

    @Test func additionsMustNotRepeatNames() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let transformer = try #require(checkpoint.components["transformer"])
        let bias = try transformer.read("proj_out.bias")
        let addition = MemoryFile("addition", [("proj_out.bias", bias)])
        #expect(throws: CheckpointError.nameCollision(folder: transformer.folder, tensor: "proj_out.bias", stored: ["proj_out.bias", "proj_out.bias"])) {
            try checkpoint.replacing("transformer", files: transformer.files + [addition])
        }
        #expect(throws: CheckpointError.missingComponent(path: checkpoint.path, component: "prior")) { try checkpoint.replacing("prior", files: []) }
        // What nothing takes is named, wherever it comes from.
        let stranger = try checkpoint.replacing("transformer", files: transformer.files + [MemoryFile("addition", [("stranger", bias)])])
        guard case .tensors(_, let problems) = conversionError({ _ = try ConversionPlan(stranger, ConversionOptions(.bf16)) }) else {
            Issue.record("no error about tensors")
            return
        }
        #expect(problems.map(\.description) == ["stranger: nothing in the model takes this tensor"])
    }
}

import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import Conversion

@Suite struct ConverterTests {
    /// The decoded file is the checkpoint's weights, exactly or within the scheme's own bound.
    @Test(arguments: [
        (Preset.fp32, "mini"), (.fp16, "mini"), (.bf16, "mini"), (.int8, "mini"), (.fp32, "odd"), (.fp16, "odd"), (.bf16, "odd"), (.int8, "odd"),
        (.bf16, "tiny-sprint"), (.int8, "tiny-sprint"),
    ])
    func roundTrip(preset: Preset, fixture: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        let folder = try TemporaryFolder()
        let file = try pack(checkpoint, ConversionOptions(preset, components: .all), in: folder)
        let weights = try CheckpointWeights(checkpoint, fusions: preset.fusions)
        let sourceIsStored = preset == .fp32 || preset == .bf16 && fixture != "odd" || preset == .fp16 && fixture == "odd"
        #expect(file.verifyIntegrity().isEmpty)
        for entry in file.directory.tensors {
            let planes = try file.planes(of: entry)
            let source = try weights.weight(entry.name).widened()
            #expect(source.shape == entry.shape)
            let decoded = try entry.scheme.decode(planes, shape: entry.shape)
            if sourceIsStored {
                #expect(bytes(EncodedTensor(decoded)) == bytes(EncodedTensor(source)), "\(entry.name)")
                #expect(entry.error == QuantizationError(relativeL2: 0, maxAbs: 0))
            } else {
                let check = try entry.scheme.checkBound(planes, source: source)
                #expect(check.holds, "\(entry.name): \(check)")
                var distance = QuantizationErrorSum()
                distance.add(decoded: decoded, source: source)
                #expect(entry.error == distance.result, "\(entry.name)")
            }
        }
        #expect(file.directory.preset == preset.rawValue)
        #expect(file.directory.sourceFiles.map(\.path) == checkpoint.weightFiles.map(\.path))
        for blob in checkpoint.smallFiles { #expect(try file.blob(blob.path) == blob.bytes, "\(blob.path)") }
    }

    /// The digests are those of the tensors' bytes, row scales included.
    @Test func digestsAreTheSources() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let folder = try TemporaryFolder()
        let file = try pack(checkpoint, ConversionOptions(.int8, components: .all), in: folder)
        var names: Set<String> = []
        for entry in file.directory.tensors {
            let component = try #require(Component(rawValue: entry.component).flatMap { $0.folder }.flatMap { checkpoint.components[$0] })
            for source in entry.sources {
                #expect(SHA256Stream.digest(bytes(try component.read(source.name))) == source.sha256)
                names.insert("\(component.name)/\(source.name)")
            }
        }
        #expect(names.count == checkpoint.components.values.reduce(0) { $0 + $1.tensorNames.count })
    }

    @Test(arguments: [Preset.int8, .fp16])
    func bytesDependNeitherOnThreadsNorOnMemory(preset: Preset) async throws {
        let folder = try TemporaryFolder()
        let runs = [(1, 1 << 30), (2, (72 << 20) + 40_000), (3, (72 << 20) + 150_000)]
        for (threads, bound) in runs {
            let output = folder.file("\(threads).sprint")
            // A process has one number of threads.
            await #expect(processExitsWith: .success) {
                [threads = threads as Int, bound = bound as Int, name = preset.rawValue as String, output = output as String] in
                Parallel.use(threads: threads)
                // Attachments, which floating-point arithmetic computes, need not be equal.
                let components = ComponentSelection.listed([.transformer, .vaeDecoder, .vaeEncoder, .textEncoder, .tokenizer])
                let options = ConversionOptions(try #require(Preset(rawValue: name)), components: components, memoryBound: bound)
                _ = try Converter.run(ConversionPlan(try Checkpoint.open(Fixtures.path("mini")), options), on: .best, output: output, tool: tool)
            }
        }
        let files = try runs.map { try contents(folder.file("\($0.0).sprint")) }
        #expect(files[0] == files[1])
        #expect(files[0] == files[2])
    }

    @Test("progress ends at the total, with tables in the place of networks too", arguments: [false, true])
    func progressEndsAtTheTotal(frozen: Bool) throws {
        let schedule = frozen ? try FrozenSchedule(steps: ["1"], guidance: [4.5]) : nil
        let plan = try ConversionPlan(try Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.bf16, frozenSchedule: schedule))
        let folder = try TemporaryFolder()
        var steps: [Converter.Progress] = []
        _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: tool) { steps.append($0) }
        #expect(
            steps.first?.done
                == plan.tensors.reduce(0) { done, tensor in
                    if case .computed = tensor.row.recipe { done + tensor.sourceByteCount } else { done }
                })
        #expect(steps.last?.done == plan.sourceByteCount)
        #expect(zip(steps, steps.dropFirst()).allSatisfy { $0.done <= $1.done && $0.total == $1.total })
    }

    // MARK: - What no weight should be

    @Test(arguments: [(Float.nan, DType.bf16), (.infinity, .f16), (-.infinity, .f32), (.nan, .f64)])
    func nonfiniteIsReportedWithItsPlace(value: Float, dtype: DType) throws {
        var edited = try EditableCheckpoint("mini")
        try edited.change("transformer", "proj_out.weight", to: dtype) {
            $0[77] = value
            $0[99] = .nan
        }
        let folder = try TemporaryFolder()
        let checkpoint = try edited.write(to: folder.file("checkpoint"))
        guard case .nonfinite("proj_out.weight", let found, 77) = conversionError({ _ = try pack(checkpoint, ConversionOptions(.bf16), in: folder) }) else {
            Issue.record("no error about the value")
            return
        }
        #expect(found.isNaN == value.isNaN && (value.isNaN || found == value))
        #expect(!Paths.exists(folder.file("model.sprint")))

        let file = try pack(checkpoint, ConversionOptions(.bf16, allowsNonfinite: true), in: folder)
        #expect(file.entry("dit.out.weight")?.nonfinite == 2)
        #expect(file.verifyIntegrity().isEmpty)
    }

    @Test func int8HoldsNoNonfinite() throws {
        var edited = try EditableCheckpoint("mini")
        try edited.change("transformer", "transformer_blocks.0.ff.conv_point.weight") { $0[5] = .infinity }
        let folder = try TemporaryFolder()
        let checkpoint = try edited.write(to: folder.file("checkpoint"))
        let error = conversionError { _ = try pack(checkpoint, ConversionOptions(.int8, allowsNonfinite: true), in: folder) }
        #expect(error == .unquantizable(tensor: "transformer_blocks.0.ff.conv_point.weight", value: .infinity, index: 5, scheme: .int8PerChannel))
        let options = try ConversionOptions(.int8, rules: rules("*.ff.out.weight bf16"), allowsNonfinite: true)
        #expect(try pack(checkpoint, options, in: folder).entry("dit.blocks.00.ff.out.weight")?.nonfinite == 1)
    }

    /// The index is the one in the checkpoint's tensor, also where the packed layout is another.
    @Test func float16OverflowNamesTheValue() throws {
        var edited = try EditableCheckpoint("mini")
        try edited.change("vae", "decoder.conv_in.weight") { $0[31] = -1e6 }
        let folder = try TemporaryFolder()
        let checkpoint = try edited.write(to: folder.file("checkpoint"))
        for preset in [Preset.fp16, .int8] {
            let error = conversionError { _ = try pack(checkpoint, ConversionOptions(preset), in: folder) }
            guard case .overflow("decoder.conv_in.weight", let value, 31, .f16) = error else {
                Issue.record("no error about the value")
                return
            }
            #expect(abs(value + 1e6) < 4096)
        }
        _ = try pack(checkpoint, ConversionOptions(.int8, rules: rules("vae.dec.conv_in.weight bf16")), in: folder)
    }

    @Test func largestFloat16Fits() throws {
        var edited = try EditableCheckpoint("mini")
        try edited.change("transformer", "proj_out.bias", to: .f32) { $0[0] = 65519 }
        let folder = try TemporaryFolder()
        let file = try pack(try edited.write(to: folder.file("checkpoint")), ConversionOptions(.fp16), in: folder)
        let entry = try #require(file.entry("dit.out.bias"))
        #expect(try file.planes(of: entry)[0].widened().elements[0] == 65504)
    }

    @Test func float64IsRoundedAndItsOverflowRefused() throws {
        var edited = try EditableCheckpoint("mini")
        let shape = try #require(edited["transformer", "proj_out.bias"]).shape
        var values = [Double](repeating: 0.1, count: shape.elementCount)
        edited["transformer", "proj_out.bias"] = try EditableCheckpoint.doubles(values, shape)
        let folder = try TemporaryFolder()
        let file = try pack(try edited.write(to: folder.file("a")), ConversionOptions(.fp32), in: folder)
        let entry = try #require(file.entry("dit.out.bias"))
        #expect(try file.planes(of: entry)[0].widened().elements[0] == 0.1)
        values[3] = 1e300
        edited["transformer", "proj_out.bias"] = try EditableCheckpoint.doubles(values, shape)
        let checkpoint = try edited.write(to: folder.file("b"))
        #expect(
            conversionError { _ = try pack(checkpoint, ConversionOptions(.fp32), in: folder) }
                == .overflow(tensor: "proj_out.bias", value: .infinity, index: 3, scheme: .f32))
    }

    // MARK: - The output

    @Test func outputIsNoInputAndReplacesOnRequestOnly() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try EditableCheckpoint("mini").write(to: folder.file("checkpoint"))
        let plan = try ConversionPlan(checkpoint, ConversionOptions(.bf16))
        for name in ["checkpoint/model_index.json", "checkpoint/vae/diffusion_pytorch_model.safetensors"] {
            let before = try contents(folder.file(name))
            #expect(
                conversionError { _ = try Converter.run(plan, on: .best, output: folder.file(name), replace: true, tool: tool) }
                    == .file(.isInput(path: folder.file(name))))
            #expect(try contents(folder.file(name)) == before)
        }
        _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: tool)
        #expect(
            conversionError { _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: tool) }
                == .file(.exists(path: folder.file("x.sprint"))))
        _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), replace: true, tool: tool)
        #expect(try Paths.entries(of: folder.path) == ["checkpoint", "x.sprint"])
    }

    @Test func sourceThatChangesIsNoticed() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try EditableCheckpoint("mini").write(to: folder.file("checkpoint"))
        let plan = try ConversionPlan(checkpoint, ConversionOptions(.bf16))
        let path = folder.file("checkpoint/vae/diffusion_pytorch_model.safetensors")
        var touched = false
        #expect(throws: ConversionError.self) {
            try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: tool) { _ in
                guard !touched else { return }
                touched = true
                appendByte(to: path)
            }
        }
        #expect(!Paths.exists(folder.file("x.sprint")))
    }
}

import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@Suite struct ExporterTests {
    /// A checkpoint whose type is the preset's comes back bit for bit, and so do its small files.
    @Test(arguments: [("tiny-sprint", Preset.bf16), ("mini", .bf16), ("odd", .fp16), ("mini", .fp32)])
    func losslessPresetsComeBackBitForBit(fixture: String, preset: Preset) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        let folder = try TemporaryFolder()
        let file = try pack(checkpoint, ConversionOptions(preset, components: .all), in: folder)
        try Exporter.run(file, to: folder.file("export"), tool: tool)
        let exported = try Checkpoint.open(folder.file("export"))
        #expect(exported.smallFiles == checkpoint.smallFiles)
        let digests = Dictionary(
            uniqueKeysWithValues: file.directory.tensors.flatMap { entry in
                entry.sources.map { ("\(Component(rawValue: entry.component)?.folder ?? "")/\($0.name)", $0.sha256) }
            })
        for (name, component) in checkpoint.components {
            let other = try #require(exported.components[name])
            #expect(other.tensorNames == component.tensorNames)
            for tensor in component.tensorNames {
                let (left, right) = (try component.read(tensor), try other.read(tensor))
                #expect(left.dtype == right.dtype && left.shape == right.shape && bytes(left) == bytes(right), "\(name)/\(tensor)")
                #expect(digests["\(name)/\(tensor)"] == SHA256Stream.digest(bytes(right)))
            }
        }
    }

    /// A folded norm comes back as ones and its weight scaled; what is rounded stays within the scheme's bound and the type's.
    @Test func int8ComesBackDecoded() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let folder = try TemporaryFolder()
        let file = try pack(checkpoint, ConversionOptions(.int8, components: .all), in: folder)
        try Exporter.run(file, to: folder.file("export"), tool: tool)
        let exported = try Checkpoint.open(folder.file("export"))
        let transformer = try #require(exported.components["transformer"])
        #expect(try transformer.read("transformer_blocks.0.attn1.norm_q.weight").widened().elements.allSatisfy { $0 == 1 })
        // The export is a checkpoint of its own: same names, shapes and types.
        for (name, component) in checkpoint.components {
            for tensor in component.tensorNames {
                let entry = try #require(exported.components[name]?.entry(tensor))
                #expect(entry.shape == component.entry(tensor)?.shape && entry.dtype == component.entry(tensor)?.dtype)
            }
        }
        let fusions: Fusions = [.lossless, .queryNorm]
        let (source, result) = (try CheckpointWeights(checkpoint, fusions: fusions), try CheckpointWeights(exported, fusions: fusions))
        for entry in file.directory.tensors {
            var distance = QuantizationErrorSum()
            distance.add(decoded: try result.weight(entry.name).widened(), source: try source.weight(entry.name).widened())
            // Rounding the decoded values to bfloat16 adds 2^-9 of each.
            #expect(distance.result.relativeL2 <= (entry.error?.relativeL2 ?? 0) + 0x1p-9, "\(entry.name)")
        }
    }

    @Test func largeComponentsAreSharded() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let folder = try TemporaryFolder()
        let file = try pack(checkpoint, ConversionOptions(.bf16, components: .all), in: folder)
        try Exporter.run(file, to: folder.file("export"), tool: tool, shardByteCount: 300_000)
        let exported = try Checkpoint.open(folder.file("export"))
        let transformer = try #require(exported.components["transformer"])
        #expect(transformer.files.count > 3)
        #expect(transformer.files.allSatisfy { $0.byteCount < 320_000 })
        for tensor in transformer.tensorNames {
            #expect(bytes(try transformer.read(tensor)) == bytes(try #require(checkpoint.components["transformer"]).read(tensor)))
        }
    }

    // MARK: - The folder

    @Test func replacesAnEarlierExportOnRequestOnly() throws {
        let folder = try TemporaryFolder()
        let file = try pack(try Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.bf16), in: folder)
        let path = folder.file("export")
        try Exporter.run(file, to: path, tool: tool)
        #expect(conversionError { try Exporter.run(file, to: path, tool: tool) } == .folderExists(path: path))
        // A file fewer is no file of anybody else's.
        Paths.removeFile(Paths.join(path, "vae/config.json"))
        try Exporter.run(file, to: path + "/", replace: true, tool: tool)
        #expect(Paths.exists(Paths.join(path, "vae/config.json")))
        #expect(try Paths.entries(of: folder.path) == ["export", "model.sprint"])
    }

    /// An export that somebody changes while the next one is written, in a file of the same size, is set aside with the change in it.
    @Test func whatIsChangedMeanwhileIsKept() throws {
        let (folder, changed) = (try TemporaryFolder(), "scheduler/scheduler_config.json")
        let file = try pack(try Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.bf16), in: folder)
        try Exporter.run(file, to: folder.file("export"), tool: tool)
        let written = try contents(folder.file("export/" + changed))
        let edited = written.dropLast() + [written[written.count - 1] ^ 1]
        let error = conversionError {
            try Exporter.run(file, to: folder.file("export"), replace: true, tool: tool) { done, total in
                if done == total { _ = try? folder.put(Array(edited), "export/" + changed) }
            }
        }
        guard case .file(.displaced(let path, let place))? = error else {
            Issue.record("\(error.map { "\($0)" } ?? "no error")")
            return
        }
        #expect(path == folder.file("export") && place != path)
        #expect(try contents(Paths.join(place, changed)) == Array(edited))
        #expect(try contents(folder.file("export/" + changed)) == written)
    }

    @Test func replacesNothingThatIsNotWhollyAnExport() throws {
        let folder = try TemporaryFolder()
        let file = try pack(try Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.bf16), in: folder)
        let home = folder.file("home")
        try Paths.makeDirectory(home)
        try OutputFile.write([1], to: Paths.join(home, "letter"), replace: false)
        let found = #""letter", and no sprintpack-export.json that says it is an export"#
        #expect(conversionError { try Exporter.run(file, to: home, replace: true, tool: tool) } == .folderNotReplaceable(path: home, found: found))
        let name = folder.file("model.sprint")
        #expect(conversionError { try Exporter.run(file, to: name, replace: true, tool: tool) } == .folderNotReplaceable(path: name, found: "a file"))
        #expect(try Paths.entries(of: home) == ["letter"])
        let path = folder.file("export")
        try Exporter.run(file, to: path, tool: tool)
        for stale in (1...7).map({ "stale\($0)" }) { try OutputFile.write([1], to: Paths.join(path, stale), replace: false) }
        let list = #"in it "stale1", "stale2", "stale3", "stale4", "stale5" and 2 more"#
        #expect(conversionError { try Exporter.run(file, to: path, replace: true, tool: tool) } == .folderNotReplaceable(path: path, found: list))
        #expect(Paths.exists(Paths.join(path, "stale7")))
    }

    /// A list that was tampered with names no file outside its folder.
    @Test func aListNamesOnlyWhatLiesInItsFolder() throws {
        let folder = try TemporaryFolder()
        let file = try pack(try Checkpoint.open(Fixtures.path("mini")), ConversionOptions(.bf16), in: folder)
        for path in ["../model.sprint", "/etc/passwd", "vae/../../model.sprint", ""] {
            let export = folder.file("export")
            try Paths.makeDirectory(export)
            let mark = #"{"tool": "x", "files": [{"path": "\#(path)", "bytes": 1, "sha256": "00"}]}"#
            try OutputFile.write(Array(mark.utf8), to: Paths.join(export, "sprintpack-export.json"), replace: false)
            #expect(conversionError { try Exporter.run(file, to: export, replace: true, tool: tool) } != nil, "\(path)")
            #expect(Paths.exists(folder.file("model.sprint")))
            Paths.removeTree(export)
        }
    }

    @Test func doesNotReplaceTheFolderOfItsInput() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try EditableCheckpoint("mini").write(to: folder.file("checkpoint"))
        let file = try pack(checkpoint, ConversionOptions(.bf16), in: folder, as: "checkpoint/vae/model.sprint")
        #expect(
            conversionError { try Exporter.run(file, to: folder.file("checkpoint"), replace: true, tool: tool) }
                == .file(.isInput(path: folder.file("checkpoint/vae/model.sprint"))))
        #expect(Paths.exists(folder.file("checkpoint/vae/model.sprint")))
    }

    /// A file whose records contradict its shapes gives an error and no folder.
    @Test func refusesRecordsThatDoNotFit() throws {
        let folder = try TemporaryFolder()
        let values = EncodedTensor(try Tensor([4, 3], [Float](repeating: 1, count: 12)))
        let cases: [(shapes: [Shape], component: String)] = [
            ([[2, 3]], "transformer"), ([[2, 3], [3, 3]], "transformer"), ([[3, 4]], "transformer"), ([[4, 3]], "pipeline"),
        ]
        for (shapes, component) in cases {
            let output = try OutputFile(path: folder.file("x.sprint"), kind: .packedFile, replace: true)
            let directory = Directory(
                tool: tool, preset: "fp32", policy: [:], fusions: [], components: [ComponentEntry(name: component, configuration: nil)],
                sourceFiles: [])
            let writer = try PackedFileWriter(output: output, directory: directory)
            let sources = shapes.enumerated().map {
                SourceRecord(name: "a\($0)", dtype: .f32, shape: $1, sha256: String(repeating: "0", count: 64))
            }
            try writer.append(
                TensorDescription(name: "a", component: component, shape: [4, 3], role: "linear", scheme: .f32), sources: sources, planes: [values])
            _ = try writer.finish()
            let file = try PackedFile.open(folder.file("x.sprint"))
            guard case .notExportable = conversionError({ try Exporter.run(file, to: folder.file("export"), tool: tool) }) else {
                Issue.record("\(shapes) were exported")
                continue
            }
        }
        #expect(try Paths.entries(of: folder.path) == ["x.sprint"])
    }
}

import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import Safetensors
import Tensors
import TestKit
import Testing

@testable import Conversion

/// What adapters make of weights, against plain loops in double; and what a packed file says of it.
@Suite struct AdaptedRowsTests {
    private static let module = "transformer_blocks.1.attn2.to_k"
    private let folder: TemporaryFolder
    private let mini: Checkpoint

    init() throws {
        folder = try TemporaryFolder()
        mini = try Checkpoint.open(Fixtures.path("mini"))
    }

    private static func fixture(_ name: String, _ weight: Double) -> AdapterSource {
        AdapterSource(path: Fixtures.path("adapters/\(name).safetensors"), weight: weight)
    }

    /// A LoRA with a bias and one with magnitudes of the same layer, of which PEFT normalises by the checkpoint's own weight.
    @Test("two adapters of one layer, in their order") func plainLoops() throws {
        let (module, width) = (Self.module, 96)
        var sources: [AdapterSource] = []
        let lora = FileTensor.pair(module, rank: 3, outputs: width, inputs: width) + [FileTensor("\(module).lora_B.bias", [width])]
        sources.append(AdapterSource(path: try folder.put(lora, "lora"), weight: 0.7))
        let dora =
            FileTensor.pair(module, rank: 2, outputs: width, inputs: width) + [
                FileTensor("\(module).lora_magnitude_vector", [width], (0..<width).map { 1 + Float($0) / 50 })
            ]
        sources.append(AdapterSource(path: try folder.put(dora, "dora"), weight: -1.2))
        let component = try #require(mini.components["transformer"])
        let weight = try component.read("\(module).weight").widened().elements.map(Double.init)
        let bias = try component.read("\(module).bias").widened().elements.map(Double.init)

        func delta(_ tensors: [FileTensor], _ factor: Double, _ row: Int, _ column: Int) -> Double {
            let rank = tensors[0].shape[0]
            return factor * (0..<rank).reduce(0) { $0 + Double(tensors[1].values[row * rank + $1]) * Double(tensors[0].values[$1 * width + column]) }
        }
        for order in [[0, 1], [1, 0], [0], [1]] {
            let weights = try CheckpointWeights(try mini.adapted(by: order.map { sources[$0] }))
            // k is the first half of the fused weight.
            let found = try weights.rows(Array(0..<width), of: "dit.blocks.01.cross.kv.weight").widened().elements
            for row in 0..<width {
                var values = (0..<width).map { weight[row * width + $0] }
                let own = values
                for index in order {
                    let deltas = (0..<width).map { delta(index == 0 ? lora : dora, index == 0 ? 0.7 : -1.2, row, $0) }
                    values = zip(values, deltas).map(+)
                    guard index == 1 else { continue }
                    let norm = zip(own, deltas).reduce(0) { $0 + ($1.0 + $1.1) * ($1.0 + $1.1) }.squareRoot()
                    values = values.map { Double(dora[2].values[row]) / norm * $0 }
                }
                let off = zip(found[row * width..<(row + 1) * width], values).count { abs(Double($0) - $1) > 0x1p-23 * abs($1) + 1e-12 }
                #expect(off == 0, "\(order): row \(row)")
            }
            let biases = try weights.weight("dit.blocks.01.cross.kv.bias").widened().elements
            for row in 0..<width {
                let expected = bias[row] + (order.contains(0) ? 0.7 * Double(lora[2].values[row]) : 0)
                #expect(biases[row] == Float(expected), "\(order): bias \(row)")
            }
        }
    }

    @Test("the file says what was added, is made again from it, and is the same in any pieces", arguments: [Preset.fp32, .bf16, .int8])
    func packed(preset: Preset) throws {
        let adapters = [Self.fixture("peft", 0.5), Self.fixture("second", -1.2), Self.fixture("dora", 0.25)]
        let checkpoint = try mini.adapted(by: adapters)
        var files: [[UInt8]] = []
        for bound in [1 << 30, (72 << 20) + 150_000] {
            let options = ConversionOptions(preset, components: .listed([.transformer]), memoryBound: bound)
            _ = try pack(checkpoint, options, in: folder)
            files.append(try contents(folder.file("model.sprint")))
        }
        #expect(files[0] == files[1])
        let file = try PackedFile.open(folder.file("model.sprint"))
        #expect(file.header.minor == 1)
        #expect(file.directory.adapters.map(\.path) == ["lora/1/peft.safetensors", "lora/2/second.safetensors", "lora/3/dora.safetensors"])
        #expect(file.directory.adapters.map(\.weight) == adapters.map(\.weight))
        #expect(try file.directory.adapters.map(\.sha256) == adapters.map { try InputFile(path: $0.path).sha256() })
        // Rank 3, alpha 2 over the root of the rank.
        let entry = try #require(file.entry("dit.blocks.01.cross.kv.weight"))
        let key = try #require(entry.sources.first { $0.name == "\(Self.module).weight" })
        #expect(key.additions.map(\.up) == (1...3).map { "lora/\($0)/\(Self.module).lora_B.weight" })
        #expect(key.additions.map(\.magnitude) == [nil, nil, "lora/3/\(Self.module).lora_magnitude_vector"])
        let factors: [Double] = [0.5 * 1.5, -1.2 * (2 / 3.0.squareRoot()), 0.25 * 1.5]
        for (addition, factor) in zip(key.additions, factors) { #expect(addition.factor == factor) }
        let component = try #require(checkpoint.components["transformer"])
        for source in entry.sources { #expect(try source.sha256 == SHA256Stream.digest(bytes(component.read(source.name))), "\(source.name)") }

        let rederivation = try Rederivation(file, checkpoint, on: .best)
        for entry in file.directory.tensors {
            let finding = try rederivation.check(entry)
            #expect(finding.holds && finding.isBitIdentical && finding.error == entry.error, "\(finding)")
        }
        // Another weight, and none.
        for others in [[Self.fixture("peft", 0.51)] + adapters.dropFirst(), []] {
            let finding = try Rederivation(file, try mini.adapted(by: others), on: .best).check(entry)
            #expect(!finding.isBitIdentical && finding.disagreements.contains { $0.hasPrefix("sources: ") })
        }
        if preset == .fp32 { try export(file, checkpoint) }
    }

    /// An export has the adapted weights under the checkpoint's names, and nothing of the adapters.
    private func export(_ file: PackedFile, _ checkpoint: Checkpoint) throws {
        try Exporter.run(file, to: folder.file("export"), tool: tool)
        let exported = try SafetensorsFile.open(folder.file("export/transformer/diffusion_pytorch_model.safetensors"))
        #expect(exported.header.entries.map(\.name).sorted() == mini.components["transformer"]?.tensorNames)
        let adapted = try CheckpointWeights(checkpoint, components: .listed([.transformer]))
        let values = try adapted.weight("dit.blocks.01.cross.kv.weight").widened().elements
        #expect(try bytes(exported.read("\(Self.module).weight")) == bytes(Tensor([96, 96], Array(values[..<(96 * 96)])).narrowed(to: .bf16)))
    }

    @Test("the same adapter in other names becomes the same weights") func sameInOtherNames() throws {
        var planes: [[[UInt8]]] = []
        for name in ["peft", "kohya"] {
            let checkpoint = try mini.adapted(by: [Self.fixture(name, 0.7)])
            let file = try pack(checkpoint, ConversionOptions(.int8, components: .listed([.transformer])), in: folder)
            planes.append(try file.directory.tensors.map { entry in try file.planes(of: entry).flatMap(bytes) })
        }
        #expect(planes[0] == planes[1])
        let plain = try pack(mini, ConversionOptions(.int8, components: .listed([.transformer])), in: folder)
        #expect(plain.header.minor == 0 && plain.directory.adapters.isEmpty)
        #expect(try plain.directory.tensors.map { try plain.planes(of: $0).flatMap(bytes) } != planes[0])
    }

    @Test("tables of a frozen schedule are computed from adapted weights, and say so") func frozen() throws {
        let checkpoint = try mini.adapted(by: [Self.fixture("peft", 0.7)])
        var options = ConversionOptions(.bf16, components: .listed([.transformer]))
        options.frozenSchedule = try FrozenSchedule(steps: ["2"], guidance: [4.5])
        let (file, plain) = (try pack(checkpoint, options, in: folder), try pack(mini, options, in: folder, as: "plain.sprint"))
        let entry = try #require(file.directory.tensors.first { $0.role == "schedule" && $0.sources.contains { $0.name.hasPrefix("lora/1/time_embed.") } })
        let other = try #require(plain.entry(entry.name))
        #expect(try file.planes(of: entry).flatMap(bytes) != plain.planes(of: other).flatMap(bytes))
        #expect(try Rederivation(file, checkpoint, on: .best).check(entry).holds)
        #expect(try !Rederivation(file, mini, on: .best).check(entry).holds)
    }

    @Test("what brings nothing into the file, brings too much or cannot be added") func refused() throws {
        let text = try mini.adapted(by: [Self.fixture("onetrainer", 1)])
        guard
            case .component("text_encoder", let message) = conversionError({
                _ = try ConversionPlan(text, ConversionOptions(.bf16, components: .listed([.transformer])))
            })
        else {
            Issue.record("no error about the part that is not packed")
            return
        }
        #expect(message.contains("onetrainer.safetensors"))
        let many = try mini.adapted(by: Array(repeating: Self.fixture("dora", 0.1), count: 16))
        guard case .tooManySources(_, 64, let found) = conversionError({ _ = try ConversionPlan(many, ConversionOptions(.bf16)) }) else {
            Issue.record("no error about the number of adapters")
            return
        }
        #expect(found > 64)
        var tensors = FileTensor.pair(Self.module, rank: 1, outputs: 96, inputs: 96)
        tensors[1].values[7] = .nan
        let broken = try mini.adapted(by: [AdapterSource(path: try folder.put(tensors, "nan"))])
        let error = conversionError { _ = try pack(broken, ConversionOptions(.bf16, components: .listed([.transformer])), in: folder) }
        guard case .adapterNonfinite("lora/1/\(Self.module).lora_B.weight", _, 7) = error else {
            Issue.record("no error about the value: \(String(describing: error))")
            return
        }
    }
}

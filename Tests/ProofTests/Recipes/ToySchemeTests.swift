import Checkpoints
import Conversion
import Files
import Glibc
import Inference
import Operations
import Parity
import Tensors
import TestKit
import Testing

@testable import PackedFiles
@testable import Proof

/// A scheme that the program does not know is added by the steps of Formats/README.md, and everything takes it.
@Suite struct ToySchemeTests {
    private static let rules = """
        dit.blocks.01.self.qkv.weight toy-4-bit
        dit.blocks.02.ff.out.weight toy-4-bit float
        text.embed.weight toy-4-bit
        text.layers.00.mlp.gate_up.weight toy-4-bit
        vae.dec.stage.*.conv1.weight toy-4-bit
        """

    private static func pack(to path: String) throws -> (file: PackedFile, checkpoint: Checkpoint) {
        let checkpoint = try Checkpoint.open(ProofFixture.checkpointPath)
        let rules = try RuleFile(Array(Self.rules.utf8), schemes: .withToy)
        try ProofFixture.convert(ConversionPlan(checkpoint, ConversionOptions(.int8, rules: rules, components: .all)), to: path)
        return (try PackedFile.open(path, schemes: .withToy), checkpoint)
    }

    /// The open file outlives its folder.
    private static let packed = Result {
        let folder = try TemporaryFolder()
        return try pack(to: folder.file("toy.sprint"))
    }

    @Test("a file with a toy scheme is converted, proved, drawn from, exported and read by a second reader")
    func everywhere() throws {
        let folder = try TemporaryFolder()
        let (file, checkpoint) = try Self.pack(to: folder.file("toy.sprint"))
        let toys = file.directory.tensors.filter { $0.scheme == .toy4 }
        #expect(Set(toys.map(\.role)) == ["linear", "gated-linear", "embedding", "text-linear", "convolution"])
        #expect(toys.allSatisfy { $0.activations == .float && ($0.error?.sqnr ?? 0) > 14 })
        #expect(throws: PackedFileError.self, "a reader without the toy refuses it") { try PackedFile.open(file.path) }

        let verification = try Verification(file, against: checkpoint, on: .best)
        #expect(verification.findings == [])
        #expect(verification.rungs.filter { !$0.passed } == [])
        let quantizer = try #require(verification.rungs.first { $0.claim.hasPrefix("codes and scales") })
        let counted = file.directory.tensors.count { !$0.scheme.isExact(for: .f32) }
        #expect(quantizer.measure.hasPrefix("\(counted) of \(counted) tensors"))
        #expect(try Verification(file, on: .best).passed, "the certificate proves it alone")

        let weights = try PackedWeights(file)
        for name in ["dit.blocks.01.self.qkv.weight", "dit.blocks.02.ff.out.weight"] {
            let stored = try weights.weight(name)
            let x = try Tensor([3, stored.shape.columns], (0..<3 * stored.shape.columns).map { Float($0 % 11) - 5 })
            let decoded = try Linear(.plain(EncodedTensor(stored.widened())), on: .best)(x)
            #expect(try Linear(stored, on: .best)(x).elements == decoded.elements, "without a kernel a weight is decoded")
        }
        var request = GenerationRequest(prompt: "a red circle")
        (request.width, request.height) = (128, 128)
        let picture = try Engine(SanaSprintPipeline(weights: weights, on: .best)).run(Job(request))
        #expect(Set(picture.rgb).count > 16)

        try Exporter.run(file, to: folder.file("export"), tool: "toy 1")
        let exported = try CheckpointWeights(Checkpoint.open(folder.file("export")), fusions: Fusions(names: file.directory.fusions))
        for entry in toys {
            let decoded = try weights.weight(entry.name).widened()
            #expect(try exported.weight(entry.name).widened().elements == decoded.narrowed(to: .bf16).widened().elements, "\(entry.name)")
        }
        try secondReader(file, toys)
    }

    /// The few lines that the second reader needs, and its answers.
    private func secondReader(_ file: PackedFile, _ toys: [TensorEntry]) throws {
        let python = unsafe getenv("SPRINTPACK_PYTHON").map { unsafe String(cString: $0) } ?? "python3"
        guard try ChildProcess.run([python, "-c", "import zstandard, xxhash"]).status == 0 else { return }
        let formats = Paths.join(Paths.parent(of: Paths.parent(of: Paths.parent(of: Paths.parent(of: #filePath)))), "Formats")
        let lines = """
            import sys; sys.path.insert(0, sys.argv.pop(1))
            import math, reader
            from array import array
            class Toy:
                stated = False
                def holds(self, shape): return math.prod(shape[1:]) % 16 == 0
                def planes(self, shape):
                    columns = math.prod(shape[1:])
                    return [("codes", "U8", [shape[0], columns // 2]), ("steps", "F32", [shape[0], columns // 16]), ("factors", "F32", [columns])]
                def bad_values(self, index, data):
                    if index == 0: return sum(byte & 15 == 0 or byte >> 4 == 0 for byte in data)
                    return sum(not 0 < x < math.inf or index == 2 and math.frexp(x)[0] != 0.5 for x in array("f", data))
                def decode(self, shape, planes):
                    codes, steps, factors = planes[0], array("f", planes[1]), array("f", planes[2])
                    values = array("f", (((codes[i // 2] >> i % 2 * 4 & 15) - 8) * steps[i // 16] for i in range(2 * len(codes))))
                    return array("f", (v / factors[i % len(factors)] for i, v in enumerate(values)))
            reader.SCHEMES["toy-4-bit"] = Toy()
            sys.exit(reader.main(sys.argv[1:]))
            """
        let good = try ChildProcess.run([python, "-c", lines, formats, "verify", file.path])
        #expect(good.status == 0 && good.output == "good\n", "\(good.errors)")
        for entry in toys where entry.role != "embedding" {
            let values = EncodedTensor(try entry.scheme.decode(file.planes(of: entry), shape: entry.shape))
            let read = try ChildProcess.run([python, "-c", lines, formats, "decode", file.path, entry.name])
            #expect(read.status == 0 && read.bytes == values.contents, "\(entry.name): \(read.errors)")
        }
    }

    @Test("one wrong element of any plane of the toy is found in its tensor", arguments: [0, 1, 2])
    func planted(plane: Int) throws {
        let folder = try TemporaryFolder()
        let (file, checkpoint) = try Self.packed.get()
        let name = "text.layers.00.mlp.gate_up.weight"
        let changed = folder.file("changed.sprint")
        // Codes of 15 and 14 stay codes, a step stays positive; half a factor is a power of two.
        _ = try? ProofFixture.rewrite(file, to: changed) { entry, planes in
            guard entry.name == name else { return }
            planes[plane] = try ProofFixture.copy(planes[plane])
            let bytes = unsafe planes[plane].buffer.mutableBytes
            switch plane {
            case 0: unsafe bytes[40] = bytes[40] == 0x77 ? 0x79 : 0x77
            case 1: unsafe bytes[8] ^= 4
            default: unsafe bytes.storeBytes(of: 0.25, as: Float.self)
            }
        }
        let verification = try Verification(PackedFile.open(changed, schemes: .withToy), against: checkpoint, on: .best)
        #expect(!verification.passed)
        #expect(Set(verification.findings.map(\.subject)) == [name])
    }

    @Test("a file that wants integers of a scheme without them is not drawn from with floats in their place")
    func noIntegers() throws {
        let folder = try TemporaryFolder()
        let file = try Self.packed.get().file
        let changed = folder.file("changed.sprint")
        // The toy is unknown to what opens the copy at the end, when it is complete.
        _ = try? ProofFixture.rewrite(
            file, to: changed,
            describe: { old in
                guard old.scheme == .toy4, old.name.hasPrefix("dit.") else { return old }
                return TensorDescription(
                    name: old.name, component: old.component, shape: old.shape, role: old.role, layout: old.layout, scheme: old.scheme,
                    activations: .int8PerToken)
            })
        var request = GenerationRequest(prompt: "a red circle")
        (request.width, request.height) = (128, 128)
        let pipeline = try SanaSprintPipeline(weights: PackedWeights(PackedFile.open(changed, schemes: .withToy)), on: .best)
        let error = #expect(throws: InferenceError.self) { try Engine(pipeline).run(Job(request)) }
        #expect(error.map { "\($0)".contains("toy-4-bit [576, 192] has no integer arithmetic") } == true)
    }

    @Test("calibration chooses the factors, and what is encoded with them stays within the bound")
    func calibration() throws {
        var random = SplitMix64(seed: 3)
        let source = try Tensor([6, 48], (0..<288).map { _ in Float.random(in: -1...1, using: &random) })
        let calibration = Calibration(inputMagnitudes: (0..<48).map { Float(1 << ($0 % 5)) })
        let planes = try Scheme.toy4.encode(source, subject: "w", calibration: calibration)
        // Half the exponents of 1, 2, 4, 8 and 16.
        let factors = (0..<48).map { [1, 1, 2, 2, 4][$0 % 5] as Float }
        #expect(Tensor(sharing: planes[2]).elements == factors)
        #expect(try Scheme.toy4.checkBound(planes, source: source).holds)
        #expect(try Scheme.toy4.encode(source, subject: "w")[2].contents != planes[2].contents)
    }

    @Test("a rule that wants integers of a scheme without them is refused, and so are rows that are no groups")
    func refusals() throws {
        for (rule, reason) in [
            ("dit.blocks.01.self.qkv.weight toy-4-bit int8-per-token", "has no int8-per-token arithmetic for toy-4-bit"),
            ("vae.dec.conv_out.bias toy-4-bit", "toy-4-bit cannot hold vae.dec.conv_out.bias"),
        ] {
            let rules = try RuleFile(Array(rule.utf8), schemes: .withToy)
            let error = #expect(throws: ConversionError.self) {
                _ = try ConversionPlan(Checkpoint.open(ProofFixture.checkpointPath), ConversionOptions(.int8, rules: rules))
            }
            #expect(error?.description.contains(reason) == true)
        }
        #expect(throws: ConversionError.self) { try RuleFile(Array("* toy-4-bit".utf8)) }
        #expect(Scheme.toy4.obstacle([4, 24]) == "whose rows are no groups of 16")
    }
}

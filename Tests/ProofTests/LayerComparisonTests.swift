import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import Tensors
import TestKit
import Testing

@testable import Proof

/// Defects whose bytes are all in order, judged by what the layers compute. (The comparison of tensors finds them too: here it is the
/// running that must.)
@Suite struct LayerComparisonTests {
    /// Every layer is fed the checkpoint's inputs, so that several defects in one file are located one by one.
    @Test("running the layers locates each wrong tensor and accuses no other layer", arguments: [Preset.int8, .bf16])
    func defects(preset: Preset) throws {
        let folder = try TemporaryFolder()
        let file = try ProofFixture.file(preset)
        var planted: Set<String> = []
        let changed = try ProofFixture.rewrite(file, to: folder.file("defects.sprint")) { entry, planes in
            if let wrong = try Self.wrong(file, entry, planes) {
                planes = wrong
                planted.insert(entry.name)
            }
        }
        #expect(planted.count == 7)
        let verification = try Verification(changed, against: Checkpoint.open(ProofFixture.checkpointPath), on: .best)
        #expect(planted.isSubset(of: verification.findings.map(\.subject)))

        func failing(_ title: String) throws -> Set<String> {
            Set(try #require(verification.series.first { $0.title == title }).results.filter { !$0.passed }.map(\.name))
        }
        #expect(try failing("Text encoder, layer by layer") == ["text.layer.1"])
        #expect(try failing("Decoder, stage by stage") == ["vae.dec.stage.2", "image"])
        #expect(try failing("Encoder, stage by stage") == ["vae.enc.stage.1"])
        let blocks = try failing("Transformer, block by block")
        #expect(blocks == Set([0, 1].flatMap { step in [1, 2, 3, 4].map { "dit.step\(step).block.\($0)" } + ["dit.step\(step).output"] }))
        #expect(verification.series.last?.firstDivergent == "text.layer.1", "free-running, the text encoder is the first to go wrong")
        #expect(verification.rungs.filter { ["P7", "P8", "P9"].contains($0.id) }.allSatisfy { !$0.passed })
    }

    /// The planes of an entry with a defect; nil for those that stay as they are.
    private static func wrong(_ file: PackedFile, _ entry: TensorEntry, _ planes: [EncodedTensor]) throws -> [EncodedTensor]? {
        switch entry.name {
        case "dit.blocks.02.self.qkv.weight":
            // q in the place of k.
            let third = entry.shape.rows / 3
            return try planes.map { try ProofFixture.swapRows($0, 0..<third, third..<2 * third) }
        case "dit.blocks.01.ff.in.weight":
            // Twice the values: by the scales where there are some.
            let last = planes.count - 1
            let doubled = try planes[last].widened().elements.map { $0 * 2 }
            return try planes.dropLast() + [Tensor(planes[last].shape, doubled).narrowed(to: planes[last].dtype)]
        case "dit.blocks.03.cross.out.weight", "vae.dec.stage.2.block.00.conv1.weight", "vae.enc.stage.1.block.00.conv1.weight":
            // Rows in another order.
            let half = entry.shape.rows / 2
            return try planes.map { try ProofFixture.swapRows($0, 0..<half, half..<2 * half) }
        case "dit.blocks.04.ff.in.bias":
            // No bias.
            return try planes.map { try Tensor($0.shape).narrowed(to: $0.dtype) }
        case "text.layers.01.mlp.down.weight":
            // The neighbour's weight.
            return try file.entry("text.layers.00.mlp.down.weight").map { try file.planes(of: $0) }
        default: return nil
        }
    }
}

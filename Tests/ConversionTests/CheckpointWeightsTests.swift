import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@Suite struct CheckpointWeightsTests {
    private func values(_ weights: CheckpointWeights, _ name: String) throws -> Tensor {
        try weights.weight(name).widened()
    }

    /// Some rows are those of the whole weight, from the checkpoint and from the packed file.
    @Test(arguments: ["mini", "odd"]) func rowsAreThoseOfTheWhole(fixture: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        let folder = try TemporaryFolder()
        let packed = try PackedWeights(pack(checkpoint, ConversionOptions(.int8), in: folder))
        for source in [try CheckpointWeights(checkpoint, fusions: packed.fusions), packed] as [any WeightSource] {
            for name in ["text.embed.weight", "dit.blocks.01.self.qkv.weight", "vae.dec.conv_in.weight", "dit.out.bias"] {
                let whole = try source.weight(name)
                let count = whole.shape.rows
                let indices = Array(Set([0, count / 3, count / 2, count - 1])).sorted()
                let some = try source.rows(indices, of: name)
                #expect(some.scheme == whole.scheme && some.planes.count == whole.planes.count)
                for (all, some) in zip(whole.planes, some.planes) {
                    let size = all.shape.columns * all.dtype.byteCount
                    #expect(bytes(some) == indices.flatMap { Array(bytes(all)[$0 * size..<($0 + 1) * size]) }, "\(name)")
                }
            }
        }
    }

    /// Each fusion that concatenates gives the rows of the weights that stand alone without it.
    @Test(arguments: ["mini", "odd"])
    func concatenationsAreTheParts(fixture: String) throws {
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
        let apart = try CheckpointWeights(checkpoint, fusions: [])
        let fused = try CheckpointWeights(checkpoint, fusions: .lossless)
        for (name, parts) in [
            ("dit.blocks.01.self.qkv.weight", ["dit.blocks.01.self.q.weight", "dit.blocks.01.self.k.weight", "dit.blocks.01.self.v.weight"]),
            ("dit.blocks.00.cross.kv.weight", ["dit.blocks.00.cross.k.weight", "dit.blocks.00.cross.v.weight"]),
            ("dit.blocks.00.cross.kv.bias", ["dit.blocks.00.cross.k.bias", "dit.blocks.00.cross.v.bias"]),
            ("text.layers.00.self.qkv.weight", ["text.layers.00.self.q.weight", "text.layers.00.self.k.weight", "text.layers.00.self.v.weight"]),
            ("text.layers.00.mlp.gate_up.weight", ["text.layers.00.mlp.gate.weight", "text.layers.00.mlp.up.weight"]),
        ] {
            #expect(!apart.contains(name))
            #expect(try values(fused, name).elements == parts.flatMap { try values(apart, $0).elements }, "\(name)")
        }
    }

    /// norm_q folded into to_q: every row of q times its norm's weight, k and v untouched, and the norm gone.
    @Test func foldedNormScalesRows() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let plain = try CheckpointWeights(checkpoint, fusions: .lossless)
        let folded = try CheckpointWeights(checkpoint, fusions: [.lossless, .queryNorm])
        #expect(plain.contains("dit.blocks.00.self.q_norm.weight"))
        #expect(!folded.contains("dit.blocks.00.self.q_norm.weight"))
        let scale = try values(plain, "dit.blocks.00.self.q_norm.weight").elements
        let weight = try values(plain, "dit.blocks.00.self.qkv.weight")
        let result = try values(folded, "dit.blocks.00.self.qkv.weight")
        let width = weight.columns
        for (index, value) in weight.elements.enumerated() {
            let row = index / width
            #expect(result.span[index] == (row < scale.count ? value * scale[row] : value))
        }
    }

    /// The fold leaves the function alone: ReLU linear attention of one head over random tokens, in float64, with the norm and with the folded weight.
    @Test func foldedNormComputesTheSame() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let plain = try CheckpointWeights(checkpoint, fusions: .lossless)
        let folded = try CheckpointWeights(checkpoint, fusions: [.lossless, .queryNorm])
        let scale = try values(plain, "dit.blocks.00.self.q_norm.weight").elements.map(Double.init)
        let width = scale.count
        let (tokens, head) = (7, 32)
        var random = SplitMix64(seed: 3)
        let x = (0..<tokens * width).map { _ in Double.random(in: -1...1, using: &random) }
        func project(_ weight: [Float], _ first: Int) -> [[Double]] {
            (0..<tokens).map { token in
                (0..<width).map { row in (0..<width).reduce(0.0) { $0 + Double(weight[(first + row) * width + $1]) * x[token * width + $1] } }
            }
        }
        func attention(_ q: [[Double]], _ k: [[Double]], _ v: [[Double]]) -> [Double] {
            q.flatMap { query in
                let weights = k.map { key in (0..<head).reduce(0.0) { $0 + max(0, query[$1]) * max(0, key[$1]) } }
                let sum = weights.reduce(1e-15, +)
                return (0..<head).map { channel in zip(weights, v).reduce(0.0) { $0 + $1.0 * $1.1[channel] } / sum }
            }
        }
        let weight = try values(plain, "dit.blocks.00.self.qkv.weight").elements
        let (k, v) = (project(weight, width), project(weight, 2 * width))
        let normed = project(weight, 0).map { row in
            let factor = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-5).squareRoot()
            return zip(row, scale).map { $0 * factor * $1 }
        }
        let expected = attention(normed, k, v)
        let found = attention(project(try values(folded, "dit.blocks.00.self.qkv.weight").elements, 0), k, v)
        let error = zip(expected, found).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
        #expect(error / expected.reduce(0.0) { $0 + $1 * $1 }.squareRoot() < 1e-6)
    }

    /// `[out, in, kh, kw]` of the checkpoint as `[out, kh, kw, in]`.
    @Test func convolutionsAreChannelsLast() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let packed = try values(try CheckpointWeights(checkpoint), "vae.dec.conv_in.weight")
        let source = try #require(checkpoint.components["vae"]).read("decoder.conv_in.weight")
        let shape = source.shape
        let plain = try source.widened().elements
        #expect(packed.shape == [shape[0], 3, 3, shape[1]])
        for output in 0..<shape[0] {
            for input in 0..<shape[1] {
                for place in 0..<9 {
                    #expect(packed.span[(output * 9 + place) * shape[1] + input] == plain[(output * shape[1] + input) * 9 + place])
                }
            }
        }
    }

    @Test func servesConfigurationAndTokenizer() throws {
        let checkpoint = try Checkpoint.open(Fixtures.path("mini"))
        let weights = try CheckpointWeights(checkpoint)
        #expect(try weights.configuration("vae") == checkpoint.components["vae"]?.configuration)
        #expect(try weights.tokenizer() == checkpoint.tokenizerJSON?.bytes)
        #expect(throws: InferenceError.self) { try weights.configuration("prior") }
        #expect(throws: InferenceError.missing(name: "dit.nothing", source: checkpoint.path)) { try weights.weight("dit.nothing") }
    }
}

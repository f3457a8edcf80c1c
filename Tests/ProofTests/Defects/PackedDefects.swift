import Conversion
import PackedFiles
import Parity
import Tensors
import Testing

/// Mistakes of converters, planted in tiny-sprint's packed files: width 192, six heads of 32, three cross heads of 64, text width 128.
enum PackedDefects {
    static let all: [PackedDefect] = [
        PackedDefect(
            "q and k exchanged", .int8, "dit.blocks.02.self.qkv.weight", .partsSwapped,
            .values { $0.reorderRows { $0 < 192 ? $0 + 192 : $0 < 384 ? $0 - 192 : $0 } }),
        PackedDefect("cross k and v exchanged", .bf16, "dit.blocks.01.cross.kv.weight", .partsSwapped, .values { $0.reorderRows { ($0 + 192) % 384 } }),
        PackedDefect("a square weight transposed", .bf16, "dit.blocks.00.self.out.weight", .transposed, .values { $0.transposeSquare() }),
        PackedDefect("an int8 weight transposed", .int8, "dit.blocks.03.cross.q.weight", .transposed, .values { $0.transposeSquare() }),
        PackedDefect("a bias dropped", .bf16, "dit.blocks.04.ff.in.bias", .dropped, .values { for index in $0.values.indices { $0.values[index] = 0 } }),
        PackedDefect(
            "the scale of one channel doubled", .int8, "dit.blocks.01.ff.in.weight", .rowsScaled,
            .planes { planes in
                var scales = try planes[1].widened().elements
                scales[7] *= 2
                return [planes[0], EncodedTensor(try Tensor(planes[1].shape, scales))]
            }),
        PackedDefect("a weight twice as large", .bf16, "dit.blocks.01.ff.out.weight", .scaled, .values { $0.scale(rows: 0..<$0.rows, by: 2) }),
        PackedDefect("the scales off by one channel", .int8, "dit.blocks.02.ff.out.weight", .rowsScaled, .planes { [$0[0], try rolled($0[1])] }),
        PackedDefect("the neighbouring block's weight", .int8, "dit.blocks.02.cross.out.weight", .wrongTensor, .tensor("dit.blocks.01.cross.out.weight")),
        PackedDefect("the neighbouring layer's weight", .bf16, "text.layers.01.mlp.down.weight", .wrongTensor, .tensor("text.layers.00.mlp.down.weight")),
        PackedDefect(
            "infinities after an overflow", .fp16, "dit.blocks.00.ff.in.bias", .overflow,
            .values {
                $0.values[3] = .infinity; $0.values[9] = -.infinity
            }),
        PackedDefect(
            "values cut off", .bf16, "dit.modulation.weight", .clipped,
            .values { for index in $0.values.indices { $0.values[index] = min(max($0.values[index], -0.0625), 0.0625) } }),
        PackedDefect("two tiles exchanged", .bf16, "dit.blocks.03.ff.in.weight", .tilesPermuted, .values { $0.exchangeTiles() }),
        PackedDefect(
            "the halves of the rows exchanged", .int8, "dit.blocks.03.ff.in.weight", .rowsPermuted,
            .values { matrix in
                let half = matrix.rows / 2; matrix.reorderRows { ($0 + half) % (2 * half) }
            }),
        PackedDefect("a convolution left channels first", .bf16, "vae.dec.stage.1.block.00.conv1.weight", .layoutPermuted, .values { $0.channelsFirst() }),
        PackedDefect("kernels turned", .bf16, "vae.dec.stage.2.block.00.conv1.weight", .mirrored, .values { $0.turnKernels() }),
        PackedDefect(
            "heads regrouped in the autoencoder", .bf16, "vae.dec.stage.4.block.00.attn.qkv.weight", .regrouped,
            .values { matrix in
                let heads = matrix.rows / 96
                matrix.reorderRows { row in
                    let (third, head, place) = (row / (32 * heads), row / 32 % heads, row % 32); return (head * 3 + third) * 32 + place
                }
            }),
        PackedDefect(
            "rows off by one", .bf16, "dit.caption.in.weight", .shifted,
            .values { matrix in
                let rows = matrix.rows; matrix.reorderRows { ($0 + 1) % rows }
            }),
        PackedDefect(
            "token embeddings off by one", .bf16, "text.embed.weight", .shifted,
            .values { matrix in
                let rows = matrix.rows; matrix.reorderRows { ($0 + rows - 1) % rows }
            }),
        PackedDefect(
            "a bias off by one", .bf16, "dit.blocks.01.cross.q.bias", .shifted,
            .values { matrix in
                let rows = matrix.rows; matrix.reorderRows { ($0 + 1) % rows }
            }),
        PackedDefect("the sign turned", .int8, "dit.blocks.00.cross.q.weight", .signFlipped, .values { $0.scale(rows: 0..<$0.rows, by: -1) }),
        PackedDefect("the other byte order", .bf16, "dit.patch.weight", .byteOrder, .planes { [try ProofFixture.bits($0[0]) { $0.byteSwapped }] }),
        PackedDefect(
            "rounded twice", .fp32, "vae.dec.stage.1.block.00.norm.weight", .roundedTwice,
            .values { for index in $0.values.indices { $0.values[index] = e4m3($0.values[index]) } }),
        PackedDefect(
            "gate and up exchanged", .int8, "text.layers.02.mlp.gate_up.weight", .partsSwapped,
            .values { matrix in
                let half = matrix.rows / 2; matrix.reorderRows { ($0 + half) % (2 * half) }
            }),
        PackedDefect(
            "1 added to a norm", .bf16, "text.layers.00.self.pre_norm.weight", .offset, .values { for index in $0.values.indices { $0.values[index] += 1 } }),
        PackedDefect(
            "the end cut off", .bf16, "dit.time.out.weight", .dropped,
            .values { for index in $0.values.count * 3 / 4..<$0.values.count { $0.values[index] = 0 } }),
        PackedDefect("one bit turned", .int8, "dit.blocks.04.ff.in.weight", .fewElements, .planes { [try ProofFixture.flip($0[0], element: 1234), $0[1]] }),
        PackedDefect(
            "rotary halves interleaved", .int8, "text.layers.01.self.out.weight", .columnsPermuted, .values { matrix in matrix.reorderColumns { $0 ^ 1 } }),
        PackedDefect(
            "a stale tokenizer", .bf16, "tokenizer/tokenizer.json", .tokenizer,
            .blob { $0.replacing("\"circle\"", with: "\"cercle\"").replacing("\"c\",", with: "\"ç\",", maxReplacements: 1) }),
        PackedDefect("another epsilon in a configuration", .bf16, "text_encoder/config.json", .configuration, .blob { $0.replacing("1e-06", with: "0.001") }),
        PackedDefect(
            "the scales of a balanced weight off by one channel", .int8, isBalanced: true, "dit.blocks.02.ff.out.weight", .rowsScaled,
            .planes { [$0[0], try rolled($0[1]), $0[2]] }),
        PackedDefect(
            "exponents off by one column", .int8, isBalanced: true, "dit.blocks.01.ff.out.weight", .columnsScaled,
            .planes { planes in
                let codes = planes[2].contents
                return [planes[0], planes[1], try EncodedTensor(dtype: .i8, shape: planes[2].shape, copying: Array(codes[1...] + codes[..<1]))]
            }),
        PackedDefect("a balanced weight transposed", .int8, isBalanced: true, "dit.blocks.03.self.out.weight", .transposed, .values { $0.transposeSquare() }),
        PackedDefect(
            "the neighbouring block's balanced weight", .int8, isBalanced: true, "dit.blocks.02.cross.out.weight", .wrongTensor,
            .tensor("dit.blocks.01.cross.out.weight")),
        PackedDefect(
            "the halves of each byte of codes exchanged", .compact, "text.layers.01.mlp.down.weight", .columnsPermuted,
            .planes { planes in
                [try EncodedTensor(dtype: .u8, shape: planes[0].shape, copying: planes[0].contents.map { $0 >> 4 | $0 << 4 }), planes[1], planes[2]]
            }),
        PackedDefect(
            "the scales of every third channel of a four-bit weight halved", .compact, "text.layers.00.mlp.gate_up.weight", .rowsScaled,
            .planes { planes in
                let scales = Tensor(sharing: planes[2]).elements.enumerated().map { $0 % 3 == 0 ? $1 / 2 : $1 }
                return [planes[0], planes[1], EncodedTensor(try Tensor(planes[2].shape, scales))]
            }),
        PackedDefect(
            "the neighbouring layer's four-bit weight", .compact, "text.layers.02.self.out.weight", .wrongTensor,
            .tensor("text.layers.01.self.out.weight")),
        PackedDefect(
            "a balanced four-bit weight transposed", .compact, isBalanced: true, "dit.blocks.02.cross.out.weight", .transposed,
            .values { $0.transposeSquare() }),
        PackedDefect("another sigma in a configuration", .bf16, "scheduler/scheduler_config.json", .configuration, .blob { $0.replacing("0.5", with: "1.0") }),
    ]

    /// Defects of one file.
    struct Group: Sendable, CustomTestStringConvertible {
        let preset: Preset
        let isBalanced: Bool
        var all: [PackedDefect]

        var testDescription: String { all.map(\.name).joined(separator: ", ") }
    }

    /// Each file has all the defects that it can: one to a tensor, and those of small files, by which tensors are judged, by themselves.
    static let groups = all.reduce(into: [Group]()) { groups, defect in
        let place = groups.firstIndex { group in
            group.preset == defect.preset && group.isBalanced == defect.isBalanced && defect.isOfTensor
                && group.all.allSatisfy { $0.isOfTensor && $0.subject != defect.subject }
        }
        if let place { groups[place].all.append(defect) } else { groups.append(Group(preset: defect.preset, isBalanced: defect.isBalanced, all: [defect])) }
    }

    private static func rolled(_ scales: EncodedTensor) throws -> EncodedTensor {
        let values = try scales.widened().elements
        return EncodedTensor(try Tensor(scales.shape, Array(values[1...] + values[..<1])))
    }

    private static func e4m3(_ value: Float) -> Float {
        guard value != 0 else { return 0 }
        let step = Float(sign: .plus, exponent: max(Int(value.exponent), -6) - 3, significand: 1)
        return (value / step).rounded(.toNearestOrEven) * step
    }
}

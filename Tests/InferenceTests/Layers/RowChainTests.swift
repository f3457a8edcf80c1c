import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// Streams of rows: what they make does not depend on how they are cut, and a doubling is what it stands for.
@Suite(.onEveryExecutor) struct RowChainTests {
    private static func convolution(_ random: inout SplitMix64, _ outputs: Int, _ inputs: Int, integer: Bool, bias: Bool = true, winograd: Bool = false) throws
        -> Convolution
    {
        let weight = try random.tensor([outputs, 3, 3, inputs])
        let bias = bias ? try random.tensor([outputs]) : nil
        guard integer else { return try Convolution(.plain(EncodedTensor(weight)), bias: bias, winograd: winograd, on: .underTest) }
        return try Convolution(try Int8Reference.weight(weight.elements, weight.shape, .int8PerToken), bias: bias, on: .underTest)
    }

    private static func residual(_ random: inout SplitMix64, _ channels: Int, integer: Bool, winograd: Bool = true) throws -> RowOperation<CPU> {
        .residual(
            first: try convolution(&random, channels, channels, integer: integer, winograd: winograd), activation: integer ? .silu : .relu,
            second: try convolution(&random, channels, channels, integer: integer, bias: false, winograd: winograd), norm: try norm(&random, channels))
    }

    private static func norm(_ random: inout SplitMix64, _ channels: Int) throws -> RMSNorm {
        RMSNorm(weight: try random.tensor([channels]), bias: try random.tensor([channels]), epsilon: 1e-5, on: .underTest)
    }

    /// Every operation, in float32 and in integers, mixed.
    private static func operations(_ random: inout SplitMix64, integer: Bool) throws -> [RowOperation<CPU>] {
        [
            .doubling(try convolution(&random, 6, 12, integer: integer), shortcut: true), try residual(&random, 6, integer: integer),
            .shuffling(try convolution(&random, 24, 6, integer: integer, winograd: true), shortcut: true), try residual(&random, 6, integer: !integer),
            try residual(&random, 6, integer: integer), try residual(&random, 6, integer: integer, winograd: false), .norm(try norm(&random, 6), .silu),
            .convolution(try convolution(&random, 3, 6, integer: false)),
        ]
    }

    @Test(arguments: [false, true], [(1, 1), (2, 3), (7, 5), (21, 11)]) func rowsAtATimeDoNotMatter(_ integer: Bool, _ size: (height: Int, width: Int)) throws {
        var random = SplitMix64(seed: 31)
        let x = try random.tensor([size.height, size.width, 12])
        let operations = try Self.operations(&random, integer: integer)
        let whole = try CPU.underTest.run(operations, on: x, batch: 1024)
        #expect(whole.shape == [4 * size.height, 4 * size.width, 3])
        for batch in [nil, 4, 8] {
            #expect(try CPU.underTest.run(operations, on: x, batch: batch).elements.map(\.bitPattern) == whole.elements.map(\.bitPattern), "\(batch ?? 0)")
        }
        var apart = x
        for operation in operations { apart = try CPU.underTest.run([operation], on: apart) }
        #expect(apart.elements.map(\.bitPattern) == whole.elements.map(\.bitPattern), "one operation at a time")
    }

    /// The doubled image is never made; with it the convolution gives the same bits.
    @Test(arguments: [false, true], [(1, 1), (3, 2), (9, 50)]) func doublingIsTheConvolutionOfTheDoubledImage(
        _ integer: Bool, _ size: (height: Int, width: Int)
    ) throws {
        var random = SplitMix64(seed: 32)
        let channels = 37
        let x = try random.tensor([size.height, size.width, channels])
        let elements = x.elements
        let doubled = try Tensor(
            [2 * size.height, 2 * size.width, channels],
            (0..<4 * x.count).map { index in
                let (pixel, channel) = (index / channels, index % channels)
                let (row, column) = (pixel / (2 * size.width) / 2, pixel % (2 * size.width) / 2)
                return elements[(row * size.width + column) * channels + channel]
            })
        let convolution = try Self.convolution(&random, 35, channels, integer: integer)
        #expect(try convolution(x, .upsampled).elements.map(\.bitPattern) == convolution(doubled, .same).elements.map(\.bitPattern))
    }

    /// pixel_shuffle in torch's order: channel c*4 + dy*2 + dx goes to channel c of the pixel (dy, dx); the shortcut repeats channels first.
    @Test(arguments: [(8, 2), (4, 4), (4, 8)]) func shufflingAndItsShortcut(_ channels: (inputs: Int, outputs: Int)) throws {
        var random = SplitMix64(seed: 33)
        let (inputs, outputs) = channels
        let x = try random.tensor([2, 3, inputs])
        let convolution = try Self.convolution(&random, 4 * outputs, inputs, integer: false)
        let wide = try convolution(x).elements
        let elements = x.elements
        let result = try CPU.underTest.run([.shuffling(convolution, shortcut: true)], on: x)
        let expected = (0..<24 * outputs).map { index in
            let (pixel, channel) = (index / outputs, index % outputs)
            let (row, column) = (pixel / 6, pixel % 6)
            let (source, from) = (row / 2 * 3 + column / 2, 4 * channel + row % 2 * 2 + column % 2)
            return wide[source * 4 * outputs + from] + elements[source * inputs + from / (4 * outputs / inputs)]
        }
        #expect(result.shape == [4, 6, outputs] && result.elements == expected)
    }

    /// x + norm(second(activation(first(x)))) in double.
    @Test func residual() throws {
        var random = SplitMix64(seed: 34)
        let x = try random.tensor([5, 4, 8])
        let (first, second) = (try Self.convolution(&random, 8, 8, integer: false), try Self.convolution(&random, 8, 8, integer: false))
        let norm = try Self.norm(&random, 8)
        let result = try CPU.underTest.run([.residual(first: first, activation: .silu, second: second, norm: norm)], on: x)
        var hidden = try first(x)
        CPU.underTest.apply(.silu, to: &hidden)
        let branch = try norm(try second(hidden))
        #expect(relativeError(result.elements, zip(x.elements, branch.elements).map { Double($0) + Double($1) }) < 5e-7)
    }
}

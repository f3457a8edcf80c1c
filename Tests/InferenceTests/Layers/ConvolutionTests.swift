import Inference
import Operations
import Tensors
import TestKit
import Testing

/// Convolutions against plain loops.
@Suite(.onEveryExecutor) struct ConvolutionTests {
    struct Size: Sendable { let height, width, inputs, outputs: Int }
    static let sizes = [
        Size(height: 1, width: 1, inputs: 3, outputs: 2), Size(height: 5, width: 8, inputs: 3, outputs: 4), Size(height: 8, width: 3, inputs: 17, outputs: 5),
        // A panel of every instruction set, and fewer outputs left than have panels of their own.
        Size(height: 2, width: 3, inputs: 5, outputs: 34),
    ]

    /// One output of a 3x3 convolution with padding 1; `weight` is [out, 3, 3, in].
    private static func reference(_ x: Tensor, _ weight: [Float], _ bias: [Float], output: Int, row: Int, column: Int, _ sampling: Convolution.Sampling)
        -> Double
    {
        let (height, width, inputs) = (x.shape[0], x.shape[1], x.shape[2])
        let elements = x.elements
        let (limitRow, limitColumn) = sampling == .upsampled ? (2 * height, 2 * width) : (height, width)
        let step = sampling == .stride2 ? 2 : 1
        var sum = Double(bias[output])
        for tap in 0..<9 {
            let (y, x) = (row * step + tap / 3 - 1, column * step + tap % 3 - 1)
            guard (0..<limitRow).contains(y), (0..<limitColumn).contains(x) else { continue }
            let pixel = sampling == .upsampled ? y / 2 * width + x / 2 : y * width + x
            for input in 0..<inputs { sum += Double(elements[pixel * inputs + input]) * Double(weight[(output * 9 + tap) * inputs + input]) }
        }
        return sum
    }

    /// Half the products, the same sums but for the last bits.
    @Test(arguments: sizes + [Size(height: 7, width: 101, inputs: 64, outputs: 48)]) func winogradAgreesWithDirect(_ size: Size) throws {
        var random = SplitMix64(seed: 10)
        let x = try random.tensor([size.height, size.width, size.inputs])
        let (weight, bias) = (try random.tensor([size.outputs, 3, 3, size.inputs]), try random.tensor([size.outputs]))
        let direct = try Convolution(.plain(EncodedTensor(weight)), bias: bias, on: .underTest)(x)
        let winograd = try Convolution(.plain(EncodedTensor(weight)), bias: bias, winograd: true, on: .underTest)(x)
        #expect(winograd.shape == direct.shape && winograd.elements != direct.elements)
        #expect(relativeError(winograd.elements, direct.elements.map(Double.init)) < 1e-6)
    }

    @Test(arguments: sizes, [Convolution.Sampling.same, .stride2, .upsampled]) func dense(_ size: Size, _ sampling: Convolution.Sampling) throws {
        var random = SplitMix64(seed: 6)
        let x = try random.tensor([size.height, size.width, size.inputs])
        let (weight, bias) = (try random.tensor([size.outputs, 3, 3, size.inputs]), try random.tensor([size.outputs]))
        let result = try Convolution(.plain(EncodedTensor(weight)), bias: bias, on: .underTest)(x, sampling)
        let (rows, columns) =
            switch sampling {
            case .same: (size.height, size.width)
            case .stride2: ((size.height + 1) / 2, (size.width + 1) / 2)
            case .upsampled: (2 * size.height, 2 * size.width)
            }
        #expect(result.shape == [rows, columns, size.outputs])
        let (w, b) = (weight.elements, bias.elements)
        let expected = (0..<rows * columns * size.outputs).map {
            Self.reference(x, w, b, output: $0 % size.outputs, row: $0 / size.outputs / columns, column: $0 / size.outputs % columns, sampling)
        }
        #expect(relativeError(result.elements, expected) < 5e-7)
    }

    /// Numbers without a visible order, faster to make than random ones.
    private static func pattern(_ shape: Shape) throws -> Tensor {
        var result = try Tensor(shape, zeroed: false)
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] = Float((index &* 2_654_435_761) >> 7 & 1023) / 512 - 1 }
        return result
    }

    /// So large that the unfolded input comes in several bands: their seams, and a few other places.
    @Test(arguments: [Convolution.Sampling.same, .stride2, .upsampled]) func bandsJoin(_ sampling: Convolution.Sampling) throws {
        var random = SplitMix64(seed: 7)
        let (height, width, inputs) = sampling == .upsampled ? (140, 150, 24) : sampling == .stride2 ? (560, 600, 24) : (280, 300, 24)
        let x = try Self.pattern([height, width, inputs])
        let (weight, bias) = (try random.tensor([2, 3, 3, inputs]), try random.tensor([2]))
        let result = try Convolution(.plain(EncodedTensor(weight)), bias: bias, on: .underTest)(x, sampling)
        #expect(result.shape == [280, 300, 2])
        let (w, b, elements) = (weight.elements, bias.elements, result.elements)
        // 300 columns of 9 * 24 floats: 129 rows fill 32 MiB.
        var (found, expected) = ([Double](), [Double]())
        for row in [0, 1, 127, 128, 129, 130, 256, 257, 258, 259, 278, 279] {
            for column in [0, 77, 299] {
                found.append(Double(elements[(row * 300 + column) * 2]))
                expected.append(Self.reference(x, w, b, output: 0, row: row, column: column, sampling))
            }
        }
        #expect(relativeError(found, expected) < 1e-6)
    }

    @Test(arguments: [1, 3, 5, 7], [(1, 1), (4, 9), (7, 6)]) func depthwise(_ kernel: Int, _ size: (Int, Int)) throws {
        var random = SplitMix64(seed: 8)
        let (height, width) = size
        let channels = 11
        let (x, weight) = (try random.tensor([height, width, channels]), try random.tensor([channels, kernel, kernel]))
        let (elements, w) = (x.elements, weight.elements)
        for bias in [nil, try random.tensor([channels])] {
            let result = try Depthwise(weight, bias: bias, on: .underTest)(x)
            let expected = (0..<height * width * channels).map { index in
                let (pixel, channel) = (index / channels, index % channels)
                var sum = Double(bias?.elements[channel] ?? 0)
                for tap in 0..<kernel * kernel {
                    let (row, column) = (pixel / width + tap / kernel - kernel / 2, pixel % width + tap % kernel - kernel / 2)
                    guard (0..<height).contains(row), (0..<width).contains(column) else { continue }
                    sum += Double(elements[(row * width + column) * channels + channel]) * Double(w[channel * kernel * kernel + tap])
                }
                return sum
            }
            #expect(relativeError(result.elements, expected) < 1e-7)
        }
    }

    @Test func groupsOfAPointwiseConvolutionDoNotMix() throws {
        var random = SplitMix64(seed: 9)
        let (channels, width) = (12, 4)
        let (x, weight) = (try random.tensor([3, 5, channels]), try random.tensor([channels, width]))
        let (elements, w) = (x.elements, weight.elements)
        let expected = (0..<15 * channels).map { index in
            let (pixel, channel) = (index / channels, index % channels)
            return (0..<width).reduce(0.0) { $0 + Double(elements[pixel * channels + channel / width * width + $1]) * Double(w[channel * width + $1]) }
        }
        let result = try GroupedPointwise(weight)(x)
        #expect(result.shape == x.shape && relativeError(result.elements, expected) < 5e-7)
    }
}

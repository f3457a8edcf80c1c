import Inference
import Operations

/// The integer contract of a 3x3 convolution (Formats/schemes.md, "Convolutions") in plain loops over 64-bit integers.
struct PlainConvolution {
    /// `[outputs, 3, 3, inputs]`.
    let codes: [Int8]
    /// Of the outputs.
    let scales: [Float]
    let inputs: Int

    /// An image whose quantized form is known: codes with a 127 in every pixel, times a power of two for each pixel, which is its scale.
    struct Image {
        let height: Int
        let width: Int
        let channels: Int

        func code(_ pixel: Int, _ channel: Int) -> Int64 {
            channel == 0 ? 127 : pixel == 1 ? -127 : Int64((channel * 37 + pixel * 101) % 255) - 127
        }
        func scale(_ pixel: Int) -> Float { Float(1 << (pixel % 3)) }
        /// `[height, width, channels]`.
        var values: [Float] {
            (0..<height * width).flatMap { pixel in (0..<channels).map { scale(pixel) * Float(code(pixel, $0)) } }
        }
    }

    /// The output `[h', w', outputs]`.
    func apply(_ image: Image, _ sampling: Convolution.Sampling) -> [Float] {
        let (zoom, step) =
            switch sampling {
            case .same: (1, 1)
            case .stride2: (1, 2)
            case .upsampled: (2, 1)
            }
        let (height, width) = (zoom * image.height, zoom * image.width)
        var result: [Float] = []
        for row in stride(from: 0, to: height, by: step) {
            for column in stride(from: 0, to: width, by: step) {
                for output in scales.indices {
                    var sum: Float = 0
                    for tap in 0..<9 {
                        let (y, x) = (row + tap / 3 - 1, column + tap % 3 - 1)
                        guard (0..<height).contains(y), (0..<width).contains(x) else { continue }
                        let pixel = y / zoom * image.width + x / zoom
                        let first = (output * 9 + tap) * inputs
                        var accumulator: Int64 = 0
                        for input in 0..<inputs { accumulator += image.code(pixel, input) * Int64(codes[first + input]) }
                        sum.addProduct(image.scale(pixel), Float(accumulator))
                    }
                    result.append(sum * scales[output])
                }
            }
        }
        return result
    }
}

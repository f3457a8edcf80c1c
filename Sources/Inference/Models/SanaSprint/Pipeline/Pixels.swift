package import Tensors

/// Between eight-bit pictures and the autoencoder's `[3, h, w]` in -1 ... 1.
package enum Pixels {
    /// (x / 2 + 0.5) * 255, clamped and rounded half to even in float32, as diffusers' image processor.
    package static func bytes(_ image: Tensor) throws(InferenceError) -> Picture {
        let (height, width) = (image.shape[1], image.shape[2])
        guard image.shape[0] == 3 else { throw .request(subject: "vae/config.json: in_channels", expected: "3 for a picture", found: "\(image.shape[0])") }
        if let element = EncodedTensor(image).firstNonfinite {
            throw .request(subject: "the picture", expected: "finite numbers", found: "NaN or infinity at element \(element); the weights overflow float32")
        }
        var rgb = [UInt8](repeating: 0, count: image.count)
        for pixel in 0..<height * width {
            for channel in 0..<3 {
                let value = min(max(image.span[channel * height * width + pixel] / 2 + 0.5, 0), 1)
                rgb[pixel * 3 + channel] = UInt8((value * 255).rounded(.toNearestOrEven))
            }
        }
        return Picture(width: width, height: height, rgb: rgb)
    }

    /// 2 (x / 255) - 1, each rounded to float32, as diffusers' image processor.
    package static func normalized(_ image: Picture) throws(MachineError) -> Tensor { try tensor(image) { 2 * (Float($0) / 255) - 1 } }

    /// x / 127.5 - 1.
    static func tensor(_ image: Picture) throws(MachineError) -> Tensor { try tensor(image) { Float(Double($0) / 127.5 - 1) } }

    private static func tensor(_ image: Picture, _ value: (UInt8) -> Float) throws(MachineError) -> Tensor {
        let values = (0...UInt8.max).map(value)
        var result = try Tensor([3, image.height, image.width], zeroed: false)
        var elements = result.mutableSpan
        for pixel in 0..<image.height * image.width {
            for channel in 0..<3 { elements[channel * image.height * image.width + pixel] = values[Int(image.rgb[pixel * 3 + channel])] }
        }
        return result
    }
}

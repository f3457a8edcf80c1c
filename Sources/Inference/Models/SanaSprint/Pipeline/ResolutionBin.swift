import Tensors

/// A size that SANA was trained on, of the shape nearest to what is asked for, and the way back from it.
///
/// Source: classify_height_width_bin and resize_and_crop_tensor of diffusers' image processor, which cuts off whole pictures where rounding makes the
/// resized one a pixel smaller than the cut; here it is as large as the cut at least.
struct ResolutionBin: Equatable {
    let height: Int
    let width: Int

    /// Height over width as the tables of diffusers name it, with the size at 1024 pixels. Names are rounded, and decide.
    private static let sizes: [(ratio: Double, height: Int, width: Int)] = [
        (0.25, 512, 2048), (0.28, 512, 1856), (0.32, 576, 1792), (0.33, 576, 1728), (0.35, 576, 1664), (0.4, 640, 1600), (0.42, 640, 1536),
        (0.48, 704, 1472), (0.5, 704, 1408), (0.52, 704, 1344), (0.57, 768, 1344), (0.6, 768, 1280), (0.68, 832, 1216), (0.72, 832, 1152),
        (0.78, 896, 1152), (0.82, 896, 1088), (0.88, 960, 1088), (0.94, 960, 1024), (1, 1024, 1024), (1.07, 1024, 960), (1.13, 1088, 960),
        (1.21, 1088, 896), (1.29, 1152, 896), (1.38, 1152, 832), (1.46, 1216, 832), (1.67, 1280, 768), (1.75, 1344, 768), (2, 1408, 704),
        (2.09, 1472, 704), (2.4, 1536, 640), (2.5, 1600, 640), (3, 1728, 576), (4, 2048, 512),
    ]
    /// What the tables of 2048 and 4096 pixels have beside them.
    private static let largeSizes: [(ratio: Double, height: Int, width: Int)] = [
        (0.26, 512, 1984), (0.27, 512, 1920), (2.89, 1664, 576), (3.11, 1792, 576), (3.62, 1856, 512), (3.75, 1920, 512), (3.88, 1984, 512),
    ]
    /// Sides of latents that there are tables for.
    private static let sampleSizes = [16, 32, 64, 128]

    /// - Parameter sampleSize: side of the latents that the model was trained on.
    init(height: Int, width: Int, sampleSize: Int) throws(InferenceError) {
        guard Self.sampleSizes.contains(sampleSize) else {
            throw .request(
                subject: "binning", expected: "a model of sample_size \(Self.sampleSizes.map { "\($0)" }.joined(separator: ", ")), whose sizes are known",
                found: "\(sampleSize)")
        }
        let table = (sampleSize > 32 ? Self.sizes + Self.largeSizes : Self.sizes).sorted { $0.ratio < $1.ratio }
        let ratio = Double(height) / Double(width)
        var nearest = table[0]
        for size in table where abs(size.ratio - ratio) < abs(nearest.ratio - ratio) { nearest = size }
        (self.height, self.width) = (nearest.height * sampleSize / 32, nearest.width * sampleSize / 32)
    }

    /// A picture `[channels, h, w]` at another size: both sides resized alike, bilinear, and cut about the middle.
    static func resized(_ image: Tensor, height: Int, width: Int) throws(MachineError) -> Tensor {
        let (channels, h, w) = (image.shape[0], image.shape[1], image.shape[2])
        guard (h, w) != (height, width) else { return image }
        let ratio = max(Double(height) / Double(h), Double(width) / Double(w))
        let (rows, columns) = (Axis(from: h, ratio, cutTo: height), Axis(from: w, ratio, cutTo: width))
        var result = try Tensor([channels, height, width], zeroed: false)
        let source = image.span
        var elements = result.mutableSpan
        for channel in 0..<channels {
            for y in 0..<height {
                let row = rows.taps[y]
                for x in 0..<width {
                    let column = columns.taps[x]
                    func between(_ line: Int) -> Float {
                        let start = (channel * h + line) * w
                        return source[start + column.first] * (1 - column.weight) + source[start + column.second] * column.weight
                    }
                    elements[(channel * height + y) * width + x] = between(row.first) * (1 - row.weight) + between(row.second) * row.weight
                }
            }
        }
        return result
    }

    /// Which two elements of an axis make each one of the cut.
    private struct Axis {
        let taps: [(first: Int, second: Int, weight: Float)]

        init(from count: Int, _ ratio: Double, cutTo cut: Int) {
            let resized = max(cut, Int(Double(count) * ratio))
            let scale = Float(count) / Float(resized)
            taps = (0..<cut).map { index in
                let place = max(0, (Float((resized - cut) / 2 + index) + 0.5) * scale - 0.5)
                let first = min(Int(place), count - 1)
                return (first, min(first + 1, count - 1), place - Float(first))
            }
        }
    }
}

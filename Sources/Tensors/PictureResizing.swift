import Glibc

extension Picture {
    /// The picture in another size, by Pillow's Lanczos filter, bit for bit: each axis by itself, in integers of 22 binary places. The sides need not
    /// keep their ratio.
    ///
    /// Source: ImagingResample in Pillow's libImaging/Resample.c.
    /// - Precondition: positive sizes.
    package func resized(width newWidth: Int, height newHeight: Int) -> Picture {
        var (width, rgb) = (width, rgb)
        if newWidth != width {
            let taps = Lanczos.taps(from: width, to: newWidth)
            var result = [UInt8](repeating: 0, count: 3 * newWidth * height)
            for row in 0..<height {
                for (column, tap) in taps.enumerated() {
                    for channel in 0..<3 {
                        result[3 * (row * newWidth + column) + channel] = tap.apply { rgb[3 * (row * width + $0) + channel] }
                    }
                }
            }
            (width, rgb) = (newWidth, result)
        }
        guard newHeight != height else { return Picture(width: width, height: height, rgb: rgb) }
        let (taps, stride) = (Lanczos.taps(from: height, to: newHeight), 3 * width)
        var result = [UInt8](repeating: 0, count: stride * newHeight)
        for (row, tap) in taps.enumerated() {
            for place in 0..<stride { result[row * stride + place] = tap.apply { rgb[$0 * stride + place] } }
        }
        return Picture(width: width, height: newHeight, rgb: result)
    }
}

/// Weights of the Lanczos filter with three lobes.
private enum Lanczos {
    /// What one sample of the result is made of.
    struct Tap {
        let first: Int
        let weights: [Int]

        func apply(_ sample: (Int) -> UInt8) -> UInt8 {
            var sum = 1 << (Lanczos.places - 1)
            for (offset, weight) in weights.enumerated() { sum += Int(sample(first + offset)) * weight }
            return UInt8(clamping: sum >> Lanczos.places)
        }
    }

    /// Binary places of weights.
    static let places = 22

    static func taps(from count: Int, to newCount: Int) -> [Tap] {
        let scale = Double(count) / Double(newCount)
        let stretch = max(scale, 1)
        let support = 3 * stretch
        return (0..<newCount).map { index in
            let center = (Double(index) + 0.5) * scale
            let first = max(0, Int(center - support + 0.5))
            let end = min(count, Int(center + support + 0.5))
            let raw = (first..<end).map { value((Double($0) - center + 0.5) * (1 / stretch)) }
            let sum = raw.reduce(0, +)
            return Tap(first: first, weights: raw.map { fixed(sum != 0 ? $0 / sum : $0) })
        }
    }

    /// Half away from zero.
    private static func fixed(_ weight: Double) -> Int { Int(weight * Double(1 << places) + (weight < 0 ? -0.5 : 0.5)) }

    private static func value(_ x: Double) -> Double { x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0 }

    private static func sinc(_ x: Double) -> Double {
        guard x != 0 else { return 1 }
        let angle = x * Double.pi
        return sin(angle) / angle
    }
}

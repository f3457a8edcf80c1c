internal import Glibc
package import Tensors

/// How far an 8-bit picture is from its reference.
package struct PictureMetrics: Sendable, Equatable {
    /// Peak signal to noise, 10 log10(255² / mean square) in dB; nil when the pictures are equal.
    let psnr: Double?
    /// Mean structural similarity of the three channels; nil for pictures smaller than the window of 7 pixels.
    let ssim: Double?
    /// Largest difference of a value, in levels.
    let maxLevels: Int
    /// Values that differ.
    let differing: Int

    /// - Precondition: pictures of equal size.
    package init(reference: Picture, other: Picture) {
        precondition(reference.width == other.width && reference.height == other.height)
        var squares = 0
        var largest = 0
        var differing = 0
        for index in reference.rgb.indices {
            // Widened before subtracting: in 8 bits 0 - 255 would be 1, and a ruined picture would look like a good one.
            let difference = Int(other.rgb[index]) - Int(reference.rgb[index])
            guard difference != 0 else { continue }
            squares += difference * difference
            largest = max(largest, abs(difference))
            differing += 1
        }
        psnr = squares == 0 ? nil : 10 * log10(255 * 255 * Double(reference.rgb.count) / Double(squares))
        ssim = structuralSimilarity(reference, other)
        maxLevels = largest
        self.differing = differing
    }
}

/// Mean structural similarity (Wang et al. 2004) with the choices of scikit-image's default: a flat window of 7 x 7 pixels, sample
/// covariance, K1 = 0.01, K2 = 0.03, range 255, windows that lie wholly inside the picture, mean over the channels.
///
/// Nil for pictures smaller than the window.
func structuralSimilarity(_ reference: Picture, _ other: Picture) -> Double? {
    let window = 7
    let (width, height) = (reference.width, reference.height)
    guard width >= window, height >= window else { return nil }
    let samples = Double(window * window)
    let (c1, c2) = ((0.01 * 255) * (0.01 * 255), (0.03 * 255) * (0.03 * 255))
    var total = 0.0
    for channel in 0..<3 {
        // Sums of a window's columns slide down the picture, sums of columns slide along the row; integers, so nothing drifts.
        var columns = [WindowSums](repeating: WindowSums(), count: width)
        for y in 0..<height {
            for x in 0..<width {
                let at = 3 * (y * width + x) + channel
                columns[x].add(Int(reference.rgb[at]), Int(other.rgb[at]), sign: 1)
                if y >= window {
                    let above = at - 3 * window * width
                    columns[x].add(Int(reference.rgb[above]), Int(other.rgb[above]), sign: -1)
                }
            }
            guard y >= window - 1 else { continue }
            var sums = WindowSums()
            for x in 0..<width {
                sums.add(columns[x], sign: 1)
                if x >= window { sums.add(columns[x - window], sign: -1) }
                guard x >= window - 1 else { continue }
                let (meanX, meanY) = (Double(sums.x) / samples, Double(sums.y) / samples)
                let sampled = samples / (samples - 1)
                let varianceX = sampled * (Double(sums.xx) / samples - meanX * meanX)
                let varianceY = sampled * (Double(sums.yy) / samples - meanY * meanY)
                let covariance = sampled * (Double(sums.xy) / samples - meanX * meanY)
                total +=
                    (2 * meanX * meanY + c1) * (2 * covariance + c2)
                    / ((meanX * meanX + meanY * meanY + c1) * (varianceX + varianceY + c2))
            }
        }
    }
    return total / Double(3 * (width - window + 1) * (height - window + 1))
}

private struct WindowSums {
    var x = 0
    var y = 0
    var xx = 0
    var yy = 0
    var xy = 0

    mutating func add(_ left: Int, _ right: Int, sign: Int) {
        x += sign * left
        y += sign * right
        xx += sign * left * left
        yy += sign * right * right
        xy += sign * left * right
    }

    mutating func add(_ other: WindowSums, sign: Int) {
        x += sign * other.x
        y += sign * other.y
        xx += sign * other.xx
        yy += sign * other.yy
        xy += sign * other.xy
    }
}

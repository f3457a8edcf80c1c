internal import Glibc
package import Tensors

/// How far an 8-bit picture is from its reference.
package struct PictureMetrics: Sendable, Equatable {
    /// Peak signal to noise, 10 log10(255² / mean square) in dB; nil when the pictures are equal.
    package let psnr: Double?
    /// Mean structural similarity of the three channels; nil for pictures smaller than the window of 11 pixels.
    package let ssim: Double?
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

/// Mean structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image Processing 13(4)) as its authors choose: a Gaussian
/// window of 11 x 11 pixels and standard deviation 1.5 whose weights sum to 1, K1 = 0.01, K2 = 0.03, range 255, windows that lie wholly inside the
/// picture; the mean over the three channels. scikit-image computes the same with `gaussian_weights`, without sample covariance.
///
/// Nil for pictures smaller than the window.
func structuralSimilarity(_ reference: Picture, _ other: Picture) -> Double? {
    let (width, height) = (reference.width, reference.height)
    let radius = 5
    let window = 2 * radius + 1
    guard width >= window, height >= window else { return nil }
    let bell = (-radius...radius).map { exp(-Double($0 * $0) / (2 * 1.5 * 1.5)) }
    let weights = bell.map { $0 / bell.reduce(0, +) }
    let (c1, c2) = ((0.01 * 255) * (0.01 * 255), (0.03 * 255) * (0.03 * 255))
    let columns = width - window + 1
    var total = 0.0
    for channel in 0..<3 {
        // Filtered along the rows, then down the columns: the window is a product of the two.
        var rows = [Moments](repeating: Moments(), count: columns * height)
        for y in 0..<height {
            for x in 0..<columns {
                var sums = Moments()
                for tap in 0..<window {
                    let at = 3 * (y * width + x + tap) + channel
                    sums.add(Double(reference.rgb[at]), Double(other.rgb[at]), weight: weights[tap])
                }
                rows[y * columns + x] = sums
            }
        }
        for y in 0...height - window {
            for x in 0..<columns {
                var sums = Moments()
                for tap in 0..<window { sums.add(rows[(y + tap) * columns + x], weight: weights[tap]) }
                let (varianceX, varianceY) = (sums.xx - sums.x * sums.x, sums.yy - sums.y * sums.y)
                total +=
                    (2 * sums.x * sums.y + c1) * (2 * (sums.xy - sums.x * sums.y) + c2)
                    / ((sums.x * sums.x + sums.y * sums.y + c1) * (varianceX + varianceY + c2))
            }
        }
    }
    return total / Double(3 * columns * (height - window + 1))
}

/// Weighted sums of two pictures' values and their products.
private struct Moments {
    var (x, y, xx, yy, xy) = (0.0, 0.0, 0.0, 0.0, 0.0)

    mutating func add(_ left: Double, _ right: Double, weight: Double) {
        x += weight * left
        y += weight * right
        xx += weight * left * left
        yy += weight * right * right
        xy += weight * left * right
    }

    mutating func add(_ other: Moments, weight: Double) {
        x += weight * other.x
        y += weight * other.y
        xx += weight * other.xx
        yy += weight * other.yy
        xy += weight * other.xy
    }
}

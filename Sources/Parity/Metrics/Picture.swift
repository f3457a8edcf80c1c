import Tensors

extension Picture {
    /// |other - self|, times `factor`, at most 255; the pictures have equal sizes.
    func amplifiedDifference(to other: Picture, factor: Int) -> Picture {
        precondition(width == other.width && height == other.height)
        let difference = zip(rgb, other.rgb).map { UInt8(min(255, factor * abs(Int($0) - Int($1)))) }
        return Picture(width: width, height: height, rgb: difference)
    }

    /// The picture with neither side longer than `limit`, each pixel the mean of the block it stands for.
    func thumbnail(limit: Int) -> Picture {
        let step = (max(width, height) + limit - 1) / limit
        guard step > 1 else { return self }
        let columns = (width + step - 1) / step
        let rows = (height + step - 1) / step
        var out: [UInt8] = []
        out.reserveCapacity(3 * columns * rows)
        for row in 0..<rows {
            for column in 0..<columns {
                let block = (y: row * step..<min(height, (row + 1) * step), x: column * step..<min(width, (column + 1) * step))
                for channel in 0..<3 {
                    var sum = 0
                    for y in block.y { for x in block.x { sum += Int(rgb[3 * (y * width + x) + channel]) } }
                    let count = block.y.count * block.x.count
                    out.append(UInt8((sum + count / 2) / count))
                }
            }
        }
        return Picture(width: columns, height: rows, rgb: out)
    }
}

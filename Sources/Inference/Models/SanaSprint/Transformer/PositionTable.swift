import Glibc
import Tensors

/// Sines and cosines of where a patch lies, which the 2K and 4K models of SANA add to its embedding.
///
/// Source: get_2d_sincos_pos_embed of diffusers: positions in float32, angles in double, rounded once.
struct PositionTable: Sendable {
    private let width: Int
    /// Patches on a side of the picture that the model was trained on.
    private let side: Int
    private let scale: Double

    /// Nil for models without positions.
    init?(_ c: TransformerConfiguration) {
        guard let scale = c.positionScale else { return nil }
        (width, side, self.scale) = (c.width, max(1, c.sampleSize / c.patch), scale)
    }

    /// `[height * width, channels]`: the first half of the channels has the column, the second the row, each sines before cosines.
    func rows(height: Int, width columns: Int) throws(MachineError) -> Tensor {
        var table = try Tensor([height * columns, width], zeroed: false)
        var elements = table.mutableSpan
        let (half, places) = (width / 2, (x: waves(columns), y: waves(height)))
        for y in 0..<height {
            for x in 0..<columns {
                let token = (y * columns + x) * width
                for channel in 0..<half {
                    elements[token + channel] = places.x[x * half + channel]
                    elements[token + half + channel] = places.y[y * half + channel]
                }
            }
        }
        return table
    }

    /// `[count, channels / 2]` of the places on an axis.
    private func waves(_ count: Int) -> [Float] {
        let quarter = width / 4
        let frequencies = (0..<quarter).map { pow(10_000, -Double($0) / Double(quarter)) }
        return (0..<count).flatMap { index in
            let angles = frequencies.map { position(index, of: count) * $0 }
            return angles.map { Float(sin($0)) } + angles.map { Float(cos($0)) }
        }
    }

    /// A place on an axis, in patches of the size that the model was trained on.
    private func position(_ index: Int, of count: Int) -> Double {
        Double(Float(index) / Float(Double(count) / Double(side)) / Float(scale))
    }
}

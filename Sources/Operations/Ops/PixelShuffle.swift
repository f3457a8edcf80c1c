package import Tensors

/// The rearrangement of pixels into channels of the autoencoder's down-sampling, on channels-last maps `[h, w, c]`.
///
/// Channel order as torch's pixel_unshuffle: channel c*4 + dy*2 + dx of the small map is channel c of the pixel (2y+dy, 2x+dx).
package enum PixelShuffle {
    /// [2h, 2w, c] to [h, w, 4c].
    package static func unshuffle(_ x: Tensor) throws(AllocationError) -> Tensor {
        let (height, width, channels) = (x.shape[0] / 2, x.shape[1] / 2, x.shape[2])
        precondition(x.shape[0] % 2 == 0 && x.shape[1] % 2 == 0)
        var result = try Tensor([height, width, 4 * channels], zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(height) { range in
            for y in range {
                for x in 0..<width {
                    let to = unsafe target.pointer + (y * width + x) * 4 * channels
                    for corner in 0..<4 {
                        let from = unsafe source.pointer + ((2 * y + corner / 2) * 2 * width + 2 * x + corner % 2) * channels
                        for channel in 0..<channels { unsafe to[4 * channel + corner] = from[channel] }
                    }
                }
            }
        }
        return result
    }
}

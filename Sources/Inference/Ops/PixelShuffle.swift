package import Tensors

/// The rearrangements between pixels and channels of the autoencoder's resampling, on channels-last maps `[h, w, c]`.
///
/// Channel order as torch's pixel_shuffle: channel c*4 + dy*2 + dx of the small map is channel c of the pixel (2y+dy, 2x+dx).
package enum PixelShuffle {
    /// [h, w, 4c] to [2h, 2w, c].
    package static func shuffle(_ x: Tensor) throws(AllocationError) -> Tensor {
        let (height, width, channels) = (x.shape[0], x.shape[1], x.shape[2] / 4)
        precondition(x.shape[2] % 4 == 0)
        var result = try Tensor([2 * height, 2 * width, channels], zeroed: false)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(result.mutablePointer))
        Parallel.forEach(2 * height) { range in
            for y in range {
                for x in 0..<2 * width {
                    let from = unsafe source.pointer + ((y / 2) * width + x / 2) * 4 * channels + (y % 2) * 2 + x % 2
                    let to = unsafe target.pointer + (y * 2 * width + x) * channels
                    for channel in 0..<channels { unsafe to[channel] = from[4 * channel] }
                }
            }
        }
        return result
    }

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

package import Tensors

/// The cutting of latents into square patches, one token each, row by row.
package enum Patches {
    /// [c, h, w] to [tokens, c * p * p]: the inputs of a convolution with kernel and stride p, in the order of its weight `[out, c, p, p]`.
    package static func unfold(_ x: Tensor, size p: Int) throws(MachineError) -> Tensor {
        let (channels, height, width) = (x.shape[0], x.shape[1], x.shape[2])
        var result = try Tensor([height / p * (width / p), channels * p * p], zeroed: false)
        let (source, target) = unsafe (x.pointer, result.mutablePointer)
        visit(channels: channels, height: height, width: width, p) { pixel, token, channel, position in
            unsafe target[token * channels * p * p + channel * p * p + position] = source[pixel]
        }
        return result
    }

    /// [tokens, p * p * c] to [c, h, w]: the channel is the fastest index here, as in diffusers' unpatchify.
    package static func fold(_ x: Tensor, size p: Int, channels: Int, height: Int, width: Int) throws(MachineError) -> Tensor {
        var result = try Tensor([channels, height, width], zeroed: false)
        let (source, target) = unsafe (x.pointer, result.mutablePointer)
        visit(channels: channels, height: height, width: width, p) { pixel, token, channel, position in
            unsafe target[pixel] = source[token * channels * p * p + position * channels + channel]
        }
        return result
    }

    private static func visit(channels: Int, height: Int, width: Int, _ p: Int, _ body: (_ pixel: Int, _ token: Int, _ channel: Int, _ position: Int) -> Void) {
        precondition(height % p == 0 && width % p == 0)
        for channel in 0..<channels {
            for y in 0..<height {
                for x in 0..<width {
                    body((channel * height + y) * width + x, (y / p) * (width / p) + x / p, channel, (y % p) * p + x % p)
                }
            }
        }
    }
}

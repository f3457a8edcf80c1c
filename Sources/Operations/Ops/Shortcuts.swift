package import Tensors

/// The parameter-free shortcuts around the autoencoder's resampling blocks and its outer convolutions, on maps `[h, w, c]`.
///
/// Source: DCUpBlock2d, DCDownBlock2d and the in and out shortcuts of diffusers' autoencoder_dc.py.
package enum Shortcuts {
    /// y [h, w, out] += means over 4 * in / out consecutive channels of pixel_unshuffle(x [2h, 2w, in]).
    package static func addDownsampled(_ x: Tensor, to y: inout Tensor) throws(AllocationError) { addMeans(try PixelShuffle.unshuffle(x), to: &y) }

    /// y [.., out] += each channel of x [.., in] repeated out / in times.
    package static func addRepeated(_ x: Tensor, to y: inout Tensor) {
        let (inputs, outputs) = (x.shape[x.shape.rank - 1], y.shape[y.shape.rank - 1])
        let repeats = outputs / inputs
        precondition(outputs % inputs == 0 && x.count * repeats == y.count)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(y.mutablePointer))
        Parallel.forEach(x.count, grain: 256) { range in
            for index in range {
                for copy in 0..<repeats { unsafe target.pointer[index * repeats + copy] += source.pointer[index] }
            }
        }
    }

    /// y [.., out] += means over in / out consecutive channels of x [.., in].
    package static func addMeans(_ x: Tensor, to y: inout Tensor) {
        let (inputs, outputs) = (x.shape[x.shape.rank - 1], y.shape[y.shape.rank - 1])
        let group = inputs / outputs
        precondition(inputs % outputs == 0 && y.count * group == x.count)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(y.mutablePointer))
        Parallel.forEach(y.count, grain: 256) { range in
            for index in range {
                var sum = 0.0
                for member in 0..<group { unsafe sum += Double(source.pointer[index * group + member]) }
                unsafe target.pointer[index] += Float(sum / Double(group))
            }
        }
    }
}

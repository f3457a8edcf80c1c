package import Tensors

extension CPU {
    /// The parameter-free shortcuts around the autoencoder's resampling blocks and its outer convolutions.
    ///
    /// Source: DCUpBlock2d, DCDownBlock2d and the in and out shortcuts of diffusers' autoencoder_dc.py.
    package func addShortcut(_ x: Tensor, to y: inout Tensor) {
        if y.channels >= x.channels { addRepeated(x, to: &y) } else { addMeans(x, to: &y) }
    }

    private func addRepeated(_ x: Tensor, to y: inout Tensor) {
        let repeats = y.channels / x.channels
        precondition(y.channels % x.channels == 0 && x.count * repeats == y.count)
        let (source, target) = unsafe (SharedPointer(reading: x.pointer), SharedPointer(y.mutablePointer))
        Parallel.forEach(x.count, grain: 256) { range in
            for index in range {
                for copy in 0..<repeats { unsafe target.pointer[index * repeats + copy] += source.pointer[index] }
            }
        }
    }

    private func addMeans(_ x: Tensor, to y: inout Tensor) {
        let group = x.channels / y.channels
        precondition(x.channels % y.channels == 0 && y.count * group == x.count)
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

import Inference
import ProbePoints
import StrictJSON
import Tensors

/// The named tensors of a certificate: what the model is fed, and what the checkpoint's layers made of it.
final class CertificateValues {
    private(set) var names: [String] = []
    private var tensors: [ExactString: Tensor] = [:]

    /// A value that a step needs and the certificate does not have, or has in another shape.
    struct Unusable: Error, CustomStringConvertible {
        let name: String
        let expected: String
        let found: String
        var description: String { "\(name): expected \(expected), found \(found)" }
    }

    subscript(_ name: String) -> Tensor? { tensors[ExactString(name)] }

    func add(_ name: String, _ value: Tensor) {
        if tensors.updateValue(value, forKey: ExactString(name)) == nil { names.append(name) }
    }

    /// A value of exactly this shape. The shapes come from a file: nothing is fed to a layer that was not made for it.
    func tensor(_ name: String, _ shape: Shape) throws(Unusable) -> Tensor {
        guard let value = self[name], value.shape == shape else {
            throw Unusable(name: name, expected: "\(shape)", found: self[name].map { "\($0.shape)" } ?? "nothing")
        }
        return value
    }

    func tensor(_ probe: Probe, _ shape: Shape) throws(Unusable) -> Tensor { try tensor(probe.name, shape) }

    /// A matrix of any number of rows.
    func rows(_ name: String, columns: Int) throws(Unusable) -> Tensor {
        guard let value = self[name], value.shape.rank == 2, value.columns == columns else {
            throw Unusable(name: name, expected: "rows of \(columns)", found: self[name].map { "\($0.shape)" } ?? "nothing")
        }
        return value
    }

    /// The upper left corner `[channels, side, side]` of a map `[channels, h, w]`.
    func corner(_ name: String, channels: Int, side: Int) throws -> Tensor {
        guard let value = self[name], value.shape.rank == 3, value.shape[0] == channels, value.shape[1] >= side, value.shape[2] >= side else {
            throw Unusable(
                name: name, expected: "a map of \(channels) channels, \(side) or more a side", found: self[name].map { "\($0.shape)" } ?? "nothing")
        }
        let (height, width) = (value.shape[1], value.shape[2])
        var elements: [Float] = []
        for channel in 0..<channels {
            for row in 0..<side {
                let first = (channel * height + row) * width
                for column in 0..<side { elements.append(value.span[first + column]) }
            }
        }
        return try Tensor([channels, side, side], elements)
    }
}

/// Sums by which a tensor is told from another one without keeping it.
enum Fingerprint {
    static let length = 64

    /// Element i, in row-major order, is added to or subtracted from sum i mod 64; which of both, its place decides at random.
    ///
    /// So the squares of the sums of a difference add up, on average, to those of its elements: a few dozen numbers tell how far two large
    /// tensors are apart, within a fifth.
    static func of(_ tensor: Tensor) -> [Float] {
        var sums = [Double](repeating: 0, count: length)
        let values = tensor.span
        for index in values.indices { sums[index % length] += isAdded(index) ? Double(values[index]) : -Double(values[index]) }
        return sums.map { Float($0) }
    }

    /// By the lowest bit of SplitMix64's output of the place.
    private static func isAdded(_ index: Int) -> Bool {
        var z = (UInt64(index) &+ 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return (z ^ (z >> 31)) & 1 == 0
    }

    /// The distance of two tensors, going by their fingerprints. What is not finite on both sides alike counts as equal.
    static func distance(_ left: [Float], _ right: [Float]) -> Double {
        var squares = 0.0
        for (a, b) in zip(left, right) where a != b && !(a.isNaN && b.isNaN) { squares += (Double(a) - Double(b)) * (Double(a) - Double(b)) }
        return squares.squareRoot()
    }
}

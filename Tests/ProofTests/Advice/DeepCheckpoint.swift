import Checkpoints
import StrictJSON
import Tensors
import TestKit
import Testing

/// mini with more blocks than it has, heavy-tailed: weights are cubes of its own with other signs, and of some inputs all weights are larger.
enum DeepCheckpoint {
    /// - Parameter layers: of the transformer.
    static func write(to path: String, layers: Int) throws -> Checkpoint {
        try ProofFixture.copy(
            Checkpoint.open(Fixtures.path("mini")), to: path,
            file: { name, bytes in name == "transformer/config.json" ? try configuration(bytes, layers) : bytes },
            weights: { component, tensors in component == "transformer" ? try deepened(tensors, layers) : tensors })
    }

    private static func configuration(_ bytes: [UInt8], _ layers: Int) throws -> [UInt8] {
        var object = try #require(try JSONValue.parse(bytes, maximumDepth: 16).object)
        object["num_layers"] = JSONValue(layers)
        return JSONValue.object(object).canonicalText
    }

    private static func deepened(_ tensors: [(String, EncodedTensor)], _ layers: Int) throws -> [(String, EncodedTensor)] {
        let prefix = "transformer_blocks."
        func block(_ name: String) -> Int? { name.hasPrefix(prefix) ? Int(name.dropFirst(prefix.count).prefix { $0 != "." }) : nil }
        let own = (tensors.compactMap { block($0.0) }.max() ?? 0) + 1
        var result = tensors.filter { block($0.0) == nil }
        for layer in 0..<layers {
            for (name, tensor) in tensors where block(name) == layer % own {
                let suffix = name.dropFirst("\(prefix)\(layer % own)".count)
                var numbers = SplitMix64(seed: UInt64(layer * 1000 + suffix.utf8.count))
                result.append(("\(prefix)\(layer)\(suffix)", tensor.shape.rank < 2 ? tensor : try heavyTailed(tensor, &numbers)))
            }
        }
        return result
    }

    private static func heavyTailed(_ tensor: EncodedTensor, _ numbers: inout SplitMix64) throws -> EncodedTensor {
        let values = try tensor.widened().elements
        let columns = tensor.shape.columns
        let factors = (0..<columns).map { _ in Int.random(in: 0..<48, using: &numbers) == 0 ? Float.random(in: 8...20, using: &numbers) : 1 }
        let changed = values.indices.map { index in
            values[index] * values[index] * abs(values[index]) * factors[index % columns] * (Bool.random(using: &numbers) ? 1 : -1)
        }
        func size(_ list: [Float]) -> Float { list.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        let scale = size(values) / max(size(changed), .leastNormalMagnitude)
        return try Tensor(tensor.shape, changed.map { $0 * scale }).narrowed(to: tensor.dtype)
    }
}

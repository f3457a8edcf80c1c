import Files
import StrictJSON

/// Copies of a checkpoint that compute exactly the same and quantize badly: a few channels that pass linearly from one matrix to the next are
/// multiplied by a power of two where they are produced, and divided by it where they are consumed.
///
/// Of the transformer the values of both attentions and the linear half of the mix-FFN; of the autoencoder's decoder the linear half of its gated
/// units. Unsharded bfloat16 files.
package enum PlantedCheckpoint {
    /// - Parameters:
    ///   - share: of the channels that become outliers, at least one of each.
    ///   - maxPower: the largest factor is two to this, the smallest 8.
    package static func copy(_ checkpoint: String, to target: String, share: Double = 0.02, maxPower: Int = 8, seed: UInt64 = 3) throws {
        try copyTree(checkpoint, to: target)
        var random = SplitMix64(seed: seed)
        for part in ["transformer", "vae"] {
            let path = Paths.join(target, "\(part)/diffusion_pytorch_model.safetensors")
            var weights = try Weights(path)
            for (produced, consumed) in weights.pairs {
                guard let width = weights.shape(consumed)?[1] else { continue }
                let channels = (0..<width).shuffled(using: &random).prefix(max(1, Int((share * Double(width)).rounded())))
                for channel in channels {
                    let power = Int.random(in: 3...maxPower, using: &random)
                    for name in produced { weights.scale(name, rows: channel..<channel + 1, columns: nil, by: power) }
                    weights.scale(consumed, rows: nil, columns: channel..<channel + 1, by: -power)
                }
            }
            try OutputFile.write(weights.bytes, to: path, kind: .anything, replace: true)
        }
    }

    private static func copyTree(_ source: String, to target: String) throws {
        try Paths.makeDirectory(target)
        for name in try Paths.entries(of: source) where name != "goldens" {
            let (from, to) = (Paths.join(source, name), Paths.join(target, name))
            if Paths.isDirectory(from) {
                try copyTree(from, to: to)
            } else {
                try OutputFile.write(try InputFile(path: from).contents(limit: 1 << 30), to: to, kind: .anything, replace: true)
            }
        }
    }
}

/// A safetensors file whose elements are changed in place.
private struct Weights {
    private(set) var bytes: [UInt8]
    private let header: JSONValue
    private let start: Int

    init(_ path: String) throws {
        bytes = try InputFile(path: path).contents(limit: 1 << 30)
        start = 8 + (0..<8).reduce(0) { [bytes] in $0 | Int(bytes[$1]) << (8 * $1) }
        header = try JSONValue.parse(Array(bytes[8..<start]))
    }

    private func integers(_ name: String, _ key: String) -> [Int]? { header[name]?[key]?.array?.compactMap { $0.integer.map { Int($0) } } }
    func shape(_ name: String) -> [Int]? { integers(name, "shape") }

    /// What produces channels, and the weight that consumes them.
    var pairs: [(produced: [String], consumed: String)] {
        let names = header.object?.members.map(\.key) ?? []
        return names.sorted().compactMap { name in
            for (consumer, producer) in [
                ("attn1.to_out.0.weight", "attn1.to_v"), ("attn2.to_out.0.weight", "attn2.to_v"), ("ff.conv_point.weight", "ff.conv_depth"),
                ("conv_out.conv_point.weight", "conv_out.conv_depth"),
            ] where name.hasSuffix(".\(consumer)") && !name.hasPrefix("encoder.") {
                let prefix = name.dropLast(consumer.count)
                return (["\(prefix)\(producer).weight", "\(prefix)\(producer).bias"], name)
            }
            return nil
        }
    }

    /// Multiplies some elements of a tensor `[rows, columns, ...]` by a power of two.
    mutating func scale(_ name: String, rows: Range<Int>?, columns: Range<Int>?, by power: Int) {
        guard let shape = shape(name), let offset = integers(name, "data_offsets")?.first else { return }
        let width = shape.dropFirst().reduce(1, *)
        let inner = shape.dropFirst(2).reduce(1, *)
        for row in rows ?? 0..<shape[0] {
            for element in columns.map({ $0.lowerBound * inner..<$0.upperBound * inner }) ?? 0..<width {
                let at = start + offset + 2 * (row * width + element)
                let bits = Int(bytes[at]) | Int(bytes[at + 1]) << 8
                // bfloat16: eight bits of exponent above seven of mantissa. Zero stays zero.
                guard bits & 0x7F80 != 0 else { continue }
                let scaled = bits + power << 7
                (bytes[at], bytes[at + 1]) = (UInt8(scaled & 0xFF), UInt8(scaled >> 8))
            }
        }
    }
}

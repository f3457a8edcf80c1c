import Files
import Synchronization
package import Tensors

/// What linears of a model were given while it drew: of each the power of every input, and some rows to measure choices on.
///
/// Statistics of parts of the work join to those of all of it, in any order: sums add up, and of all rows that were seen those with the smallest
/// numbers are kept, whoever saw them.
package struct InputStatistics: Sendable, Equatable {
    package struct Layer: Sendable, Equatable {
        /// Rows that were seen.
        package var count = 0
        /// Of each input, the sum of squares.
        package var squares: [Double]
        /// Some of the rows, by the number that a hash gave each.
        package var samples: [Sample] = []
        /// SHA-256 of the rows of the weight that choices are measured with, in float32 (`LayerChoices`).
        var weightDigest: String

        init(inputs: Int, weightDigest: String) {
            squares = [Double](repeating: 0, count: inputs)
            self.weightDigest = weightDigest
        }

        mutating func keepFirst(_ most: Int) {
            samples.sort { $0.number < $1.number }
            if samples.count > most { samples.removeLast(samples.count - most) }
        }
    }

    package struct Sample: Sendable, Equatable {
        let number: UInt64
        /// bfloat16: to choose by, they need not be exact.
        let values: [UInt16]
    }

    /// Rows of each layer that are kept: enough that the error of a product of 64 rows with some hundred channels says it to a few percent.
    package static let mostSamples = 64

    /// By the packed name of the weight.
    package internal(set) var layers: [String: Layer] = [:]
    /// Nil where they were not asked for.
    package var impacts: Impacts?
    /// The prompts that were drawn, each with how many others before it in its list; sorted.
    package internal(set) var prompts: [String] = []
    /// What drew, where that was not the CPU; sorted.
    package var devices: [String] = []

    package init() {}

    /// Adds what another part of the work saw.
    /// - Throws: `.statistics` where the two are of different models.
    package mutating func merge(_ other: InputStatistics) throws(ConversionError) {
        guard layers.isEmpty || Set(layers.keys) == Set(other.layers.keys) else {
            let odd = Set(layers.keys).symmetricDifference(other.layers.keys).min() ?? ""
            throw .statistics("expected statistics of the same layers, found \(odd) in some of them only; calibrate all parts with one checkpoint")
        }
        for (name, seen) in other.layers {
            guard var layer = layers[name] else {
                layers[name] = seen
                continue
            }
            guard layer.weightDigest == seen.weightDigest, layer.squares.count == seen.squares.count else {
                throw .statistics("\(name): expected statistics of one model, found those of two; calibrate all parts with one checkpoint")
            }
            guard Set(layer.samples.map(\.number)).isDisjoint(with: seen.samples.map(\.number)) else {
                throw .statistics("expected statistics of other prompts in each part, found some twice; join every part once")
            }
            layer.count += seen.count
            for index in layer.squares.indices { layer.squares[index] += seen.squares[index] }
            layer.samples += seen.samples
            layer.keepFirst(Self.mostSamples)
            layers[name] = layer
        }
        if prompts.isEmpty {
            impacts = other.impacts
        } else {
            guard (impacts == nil) == (other.impacts == nil) else {
                throw .statistics("expected impacts in each part, found a part without; calibrate it again")
            }
            if let others = other.impacts { try impacts?.merge(others) }
        }
        prompts = (prompts + other.prompts).sorted()
        devices = Set(devices + other.devices).sorted()
    }
}

/// Gathers statistics while models run.
package final class InputRecorder: Sendable {
    private let state: Mutex<InputStatistics>
    /// Of the prompts: other prompts' rows have other numbers.
    private let seed: UInt64

    /// - Parameter layers: those that are of interest, by packed name.
    package init(_ layers: [String: InputStatistics.Layer], prompts: [String]) {
        var statistics = InputStatistics()
        (statistics.layers, statistics.prompts) = (layers, prompts.sorted())
        state = Mutex(statistics)
        seed = XXH3.hash(Array(prompts.joined(separator: "\n").utf8))
    }

    package var statistics: InputStatistics { state.withLock { $0 } }

    /// Whether any weight of such a name is of interest.
    package func gathers(_ isOne: (String) -> Bool) -> Bool { state.withLock { $0.layers.keys.contains(where: isOne) } }

    /// Errors of the prompts' draws, by unit and draw.
    package func impacts(of errors: [String: [Double]]) -> Impacts {
        let count = errors.values.first?.count ?? 0
        return Impacts(draws: (0..<count).map { Self.number(seed, UInt64(1 << 48 + $0)) }, errors: errors)
    }

    /// Takes the rows `[.., inputs]` that a weight is about to meet.
    package func record(_ name: String, _ x: Tensor) {
        state.withLock { state in
            guard var layer = state.layers.removeValue(forKey: name) else { return }
            let inputs = layer.squares.count
            let (values, rows) = (x.span, x.count / inputs)
            precondition(x.count == rows * inputs, "rows of another width")
            for row in 0..<rows {
                let first = row * inputs
                for column in 0..<inputs {
                    let value = Double(values[first + column])
                    layer.squares[column] += value * value
                }
                let number = Self.number(seed, UInt64(layer.count + row))
                if layer.samples.count < InputStatistics.mostSamples || number < layer.samples[layer.samples.count - 1].number {
                    layer.samples.append(
                        .init(number: number, values: (0..<inputs).map { values[first + $0].bfloat16Bits }))
                    layer.keepFirst(InputStatistics.mostSamples)
                }
            }
            layer.count += rows
            state.layers[name] = layer
        }
    }

    /// SplitMix64 of a seed, as far as a row's place.
    private static func number(_ seed: UInt64, _ row: UInt64) -> UInt64 {
        var z = seed &+ (row &+ 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

import Checkpoints
import Files
import Inference
package import Operations
package import PackedFiles
package import StrictJSON
import Tensors

/// How each linear of the preset int8 is stored: what costs its own product least, measured on inputs that it met while the model drew
/// (`MeasuredChoices`), or what a search chose.
package struct LayerChoices: Sendable {
    package struct Choice: Sendable, Equatable {
        let storage: Storage
        /// What its inputs are divided by before they are turned: powers of two. Empty where by nothing.
        var magnitudes: [Float] = []
        /// The power of what the integers are off the products by, as a share of theirs; nil without statistics.
        var error: Double?

        var json: JSONValue {
            guard let error else { return ["storage": .string(storage.description)] }
            return ["storage": .string(storage.description), "error": .number(error)]
        }

        var calibration: Calibration? { magnitudes.isEmpty ? nil : Calibration(inputMagnitudes: magnitudes) }
    }

    /// By packed name.
    package let choices: [String: Choice]
    /// What the file says of where they come from.
    private let record: JSONObject

    /// Rows of a weight that are read.
    static let mostRows = 256
    /// A layer that no choice keeps within this, 20 dB below its product, stays in 16 bits.
    static let budget = 0.01
    /// Eighths that the inputs' size has in what a column is multiplied by, the rest being the column's own.
    static let shares = [2, 3, 4]
    /// By how much a choice has to be better than one that is simpler.
    static let advantage = 0.98

    init(_ choices: [String: Choice], record: JSONObject) { (self.choices, self.record) = (choices, record) }

    subscript(name: String) -> Choice? { choices[name] }

    /// For the packed directory: where the choices come from, and what each layer is stored as. Exponents are planes of their tensors.
    var json: JSONValue {
        var object = record
        object["layers"] = .object(JSONObject(choices.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) }))
        return .object(object)
    }
}

extension LayerChoices {
    /// The choices by statistics.
    /// - Throws: `.statistics` where they are of another model.
    package init(
        _ plan: ConversionPlan, _ statistics: InputStatistics, on executor: CPU, progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws(ConversionError) {
        let weights = try CalibratedWeights(plan)
        guard weights.names.allSatisfy({ statistics.layers[$0] != nil }) else {
            throw Self.missing(weights.names.first { statistics.layers[$0] == nil } ?? "")
        }
        var choices: [String: Choice] = [:]
        for (index, name) in weights.names.enumerated() {
            progress(index, weights.names.count)
            guard let layer = statistics.layers[name] else { continue }
            choices[name] = try Self.choose(name, weights, layer, on: executor)
        }
        progress(weights.names.count, weights.names.count)
        self.init(choices, record: Self.record(of: statistics))
    }

    static func missing(_ name: String) -> ConversionError {
        .statistics(
            "\(name): expected statistics of its inputs, found none; they are of another configuration or of other --components: calibrate this checkpoint "
                + "with those to be packed")
    }

    static func record(of statistics: InputStatistics) -> JSONObject {
        var record: JSONObject = [
            "kind": "measured", "prompts": JSONValue(statistics.prompts.count),
            "rows": JSONValue(statistics.layers.values.map(\.count).max() ?? 0),
        ]
        if !statistics.devices.isEmpty { record["devices"] = .array(statistics.devices.map { .string($0) }) }
        return record
    }

    /// The choices without statistics: every linear turned, and of each linear pair the channels made equally large on both sides.
    package init(dataFree plan: ConversionPlan) throws(ConversionError) {
        let weights = try CalibratedWeights(plan)
        let pairs = Dictionary(grouping: weights.linearPairs, by: \.consumer)
        var choices: [String: Choice] = [:]
        for name in weights.names {
            choices[name] = Choice(storage: Self.balanced)
            guard let pairs = pairs[name] else { continue }
            let columns = try weights.sampled(name).columnPowers
            var inputs = [Double](repeating: 0, count: columns.count)
            for pair in pairs { inputs.replaceSubrange(pair.inputs, with: try weights.rows(pair.rows, of: pair.producer).rowPowers) }
            choices[name]?.magnitudes = Self.magnitudes(inputs: inputs, columns: columns, share: 4)
        }
        self.choices = choices
        record = ["kind": "data-free"]
    }

    /// What a packed file says was chosen; nil where nothing was. Exponents are not repeated there.
    package init?(policy: JSONValue, schemes: SchemeList) throws(ConversionError) {
        guard case .object(var object)? = policy[Self.policyKey] else { return nil }
        guard case .object(let layers)? = object["layers"] else { throw .statistics("\(Self.policyKey): expected layers, found none") }
        object["layers"] = nil
        record = object
        var choices: [String: Choice] = [:]
        for (name, value) in layers.members {
            let words = (value["storage"]?.string ?? "").split(separator: " ").map(String.init)
            guard let scheme = words.first.flatMap({ schemes[name: $0] }), words.count <= 2, words.count == 1 || ActivationScheme(rawValue: words[1]) != nil
            else {
                throw .statistics("\(name): expected a scheme and activations, found \(value.text)")
            }
            let storage = Storage(scheme, activations: words.count == 2 ? ActivationScheme(rawValue: words[1]) : nil)
            choices[name] = Choice(storage: storage)
        }
        self.choices = choices
    }

    /// Of the packed directory's policy.
    static let policyKey = "calibration"

    /// Schemes of so many bits a weight: of rows as they are, and of those that are balanced and turned.
    struct Rounding {
        let plain: Scheme
        let balanced: Scheme

        static let eightBits = Rounding(plain: .int8PerChannel, balanced: .int8Balanced)
        static let fourBits = Rounding(plain: .int4Grouped, balanced: .int4Balanced)

        func holds(_ shape: Shape) -> Bool { plain.holds(shape) && balanced.holds(shape) }
    }

    static let balanced = Storage(Rounding.eightBits.balanced, activations: .int8PerToken)

    static func choose(
        _ name: String, _ weights: CalibratedWeights, _ layer: InputStatistics.Layer, on executor: CPU
    ) throws(ConversionError) -> Choice {
        guard let measured = try MeasuredChoices(name, weights, layer, on: executor) else { return Choice(storage: weights.usualStorage(name)) }
        let best = try measured.best(.eightBits)
        guard let error = best.error, error <= budget else { return Choice(storage: weights.keptStorage(name), error: best.error) }
        return best
    }

    /// What inputs are divided by, and columns multiplied by: 2^k, such that k grows with an input's size and falls with its column's. Where a
    /// channel is made larger and taken smaller by a power of two, its k moves by that power, and what is stored stays as it is.
    /// - Parameters:
    ///   - inputs, columns: mean powers, up to a factor that is the same for all channels.
    ///   - share: eighths.
    static func magnitudes(inputs: [Double], columns: [Double], share: Int) -> [Float] {
        zip(inputs, columns).map { input, column in
            guard input > 0, column > 0, input.isFinite, column.isFinite else { return 1 }
            // k is the nearest number to log2(input^share / column^(8 - share)) / 16, powers being squares: by products and quotients alone, which
            // every machine rounds alike.
            var ratio = 1.0
            for _ in 0..<share { ratio *= input.significand }
            for _ in share..<8 { ratio /= column.significand }
            let logarithm = share * Int(input.exponent) - (8 - share) * Int(column.exponent) + Int(ratio.exponent)
            let exponent = Int((Double(logarithm + 8) / 16).rounded(.down))
            return Float(sign: .plus, exponent: min(63, max(-63, exponent)), significand: 1)
        }
    }
}

import Checkpoints
import Inference
package import Operations
import PackedFiles
package import StrictJSON
import Tensors

/// Finds what each part of a model is stored as: in 16, 8 or 4 bits, so that the model is as good as its bytes allow.
///
/// What a storage does to a velocity is the impact of its unit, times the error of its own product in units of the rough rounding's that was measured.
package struct PolicySearch: Sendable {
    /// What is asked for.
    package enum Goal: Sendable, Equatable {
        /// A file of at most so many bytes, as good as can be.
        case bytes(UInt64)
        /// The smallest file whose median velocity has at least this ratio of signal to noise, in dB.
        case sqnr(Double)
        /// Of the transformer's linears so much of what lies between their bytes with four and with eight bits.
        case share(Double)
    }

    /// What a policy will come to.
    package struct Prediction: Sendable, Equatable {
        /// Of the whole file; nil where only a part of it was decided about.
        package let bytes: Double?
        /// Median ratio of signal to noise of the velocity, in dB: on the checkpoint's features, and on those of the file's text encoder alone.
        package let velocity: Double
        package let features: Double?
        /// Whether more bytes would make nothing better.
        package let isBest: Bool
    }

    /// Of the preset compact.
    package static let compactShare = 0.25

    struct Option: Sendable {
        let choices: [String: LayerChoices.Choice]
        let option: Allocation.Option
    }

    private let record: JSONObject
    private let linears: [[Option]]
    private let text: [[Option]]
    /// Bytes of all that is not chosen, but for attachments.
    private let fixed: Double
    /// Choices beside the search: of linears without an impact.
    private let others: [String: LayerChoices.Choice]

    /// Measures what each option costs.
    /// - Throws: `.statistics` where they are of another model, or have no impacts.
    package init(
        _ plan: ConversionPlan, _ statistics: InputStatistics, on executor: CPU, progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws(ConversionError) {
        guard let impacts = statistics.impacts else {
            throw .statistics("expected impacts, which a search goes by, found none; gather the statistics with this sprintpack, without --no-impacts")
        }
        let units = plan.impactUnits
        guard Set(units.linears).union(units.text.keys).isSubset(of: impacts.errors.keys) else {
            let missing = Set(units.linears).union(units.text.keys).subtracting(impacts.errors.keys).min() ?? ""
            throw .statistics("\(missing): expected its impact, found none; the statistics are of another configuration: calibrate this checkpoint")
        }
        let measurement = try OptionMeasurement(plan, statistics, impacts, on: executor)
        let tensors = Dictionary(uniqueKeysWithValues: plan.tensors.map { ($0.name, $0) })
        let searched = Set(units.linears).union(units.text.values.joined())
        var (linears, others, fixed, done): ([[Option]], [String: LayerChoices.Choice], Double, Int) = ([], [:], 0, 0)
        func step(_ count: Int = 1) {
            done += count
            progress(done, tensors.count)
        }
        for tensor in plan.tensors where !searched.contains(tensor.name) {
            others[tensor.name] = tensor.isOpen ? try measurement.usual(tensor.name) : nil
            fixed += try measurement.bytes(tensor, others[tensor.name] ?? LayerChoices.Choice(storage: tensor.storage))
            step()
        }
        for tensor in units.linears.compactMap({ tensors[$0] }) {
            linears.append(try measurement.linear(tensor))
            step()
        }
        var text: [[Option]] = []
        for (unit, names) in units.text.sorted(by: { $0.key < $1.key }) {
            text.append(try measurement.text(unit, names.compactMap { tensors[$0] }))
            step(names.count)
        }
        for blob in plan.blobs { fixed += try measurement.bytes(blob.bytes) }
        fixed += Double(plan.prefixCache?.byteCount ?? 0)
        (self.linears, self.text, self.others, self.fixed) = (linears, text, others, fixed)
        record = LayerChoices.record(of: statistics)
    }

    /// The policy for a goal, and what it will come to.
    /// - Parameter correction: what an earlier conversion was off its prediction by, in bytes and in dB.
    /// - Throws: `.target` for a size that no policy reaches.
    package func policy(
        for goal: Goal, correction: (bytes: Double, decibels: Double) = (0, 0)
    ) throws(ConversionError) -> (choices: LayerChoices, prediction: Prediction) {
        let (velocity, features) = (Allocation(linears.map { $0.map(\.option) }), Allocation(text.map { $0.map(\.option) }))
        let chosen: [Int]
        switch goal {
        case .bytes(let most):
            let both = Allocation(velocity.items + features.items)
            let rest = fixed + correction.bytes
            guard both.range.lowerBound + rest <= Double(most) else {
                throw .target(
                    "expected at least \(Int((both.range.lowerBound + rest).rounded(.up))) bytes, which every linear with four bits takes, found \(most)")
            }
            chosen = both.within(Double(most) - rest)
        case .sqnr(let decibels):
            // Velocities are what was measured.
            chosen = velocity.reaching(decibels + correction.decibels) + features.reaching(decibels)
        case .share(let share):
            // Text has what the preset says.
            let (least, most) = (velocity.bytes(smallest(linears, bits: 4)), velocity.bytes(smallest(linears, bits: 8)))
            chosen = velocity.within(least + share * (most - least))
        }
        let parts = [chosen.prefix(linears.count), chosen.dropFirst(linears.count)].map(Array.init)
        let decidesText = parts[1].count == text.count && !text.isEmpty
        var choices = others
        for (options, place) in zip(linears, parts[0]) { choices.merge(options[place].choices) { $1 } }
        if decidesText { for (options, place) in zip(text, parts[1]) { choices.merge(options[place].choices) { $1 } } }
        let bytes = velocity.bytes(parts[0]) + (decidesText ? features.bytes(parts[1]) : 0) + fixed + correction.bytes
        let prediction = Prediction(
            bytes: decidesText || text.isEmpty ? bytes : nil, velocity: Allocation.median(velocity.sqnr(parts[0])) - correction.decibels,
            features: decidesText ? Allocation.median(features.sqnr(parts[1])) : nil,
            isBest: bytes >= velocity.range.upperBound + features.range.upperBound + fixed + correction.bytes)
        var record = record
        record["search"] = prediction.json(of: goal)
        return (LayerChoices(choices, record: record), prediction)
    }

    /// By item the option with so many bits, or where there is none its smallest.
    private func smallest(_ items: [[Option]], bits: Int) -> [Int] {
        items.map { options in
            let order = options.indices.sorted { options[$0].option.bytes < options[$1].option.bytes }
            return bits == 4 || order.count == 1 ? order[0] : order[1]
        }
    }
}

extension PolicySearch.Prediction {
    /// For the packed directory and the command's answer.
    package func json(of goal: PolicySearch.Goal) -> JSONValue {
        let asked: (String, JSONValue) =
            switch goal {
            case .bytes(let bytes): ("bytes", .integer(Int64(bytes)))
            case .sqnr(let decibels): ("velocity", .number(decibels))
            case .share(let share): ("share", .number(share))
            }
        func number(_ value: Double?) -> JSONValue { value.flatMap { $0.isFinite ? .number($0) : nil } ?? .null }
        return [
            "goal": .object(JSONObject([asked])),
            "predicted": ["bytes": bytes.map { .integer(Int64($0)) } ?? .null, "velocity": number(velocity), "features": number(features)],
        ]
    }
}

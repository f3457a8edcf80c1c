package import Inference
package import PackedFiles
package import Tensors

/// What rough rounding of each part of a model alone did to velocities, with all else as in the checkpoint: where bits are worth most.
///
/// Errors of layers are nearly independent, so that their powers add up, and each grows with the error of the layer's own product: what another
/// rounding does to the velocity follows from these without running the model.
package struct Impacts: Sendable, Equatable {
    /// The parts that a policy decides about one by one.
    package struct Units: Sendable {
        /// Linears of integer products in the transformer, by packed name.
        package let linears: [String]
        /// The table and the layers of the text encoder, with the packed names of what they quantize.
        package let text: [String: [String]]
    }

    /// Tokens on their way that are held at once.
    package static let mostStreamBytes = 320 << 20
    /// Draws that are kept.
    package static let mostDraws = 64

    /// A number that a hash gave each draw, ascending.
    package private(set) var draws: [UInt64] = []
    /// By unit and draw: ||v' - v||² / ||v||².
    package private(set) var errors: [String: [Double]] = [:]

    /// - Precondition: an error of each unit for each draw.
    package init(draws: [UInt64], errors: [String: [Double]]) {
        precondition(errors.values.allSatisfy { $0.count == draws.count })
        self.errors = errors
        self.draws = draws
        keepFirst()
    }

    /// The rounding whose impact is measured.
    package static func scheme(_ shape: Shape) -> Scheme {
        let four = LayerChoices.Rounding.fourBits.plain
        return four.holds(shape) ? four : LayerChoices.Rounding.eightBits.plain
    }

    /// What a text encoder's tensor is a part of.
    package static func textUnit(of name: String) -> String { SanaSprintWeights.layer(of: name) }
    package static let table = textUnit(of: "text.embed.weight")
    package static func textLayer(_ index: Int) -> String { textUnit(of: SanaSprintWeights.textLayer(index)) }

    /// Adds those of other draws.
    mutating func merge(_ other: Impacts) throws(ConversionError) {
        guard Set(errors.keys) == Set(other.errors.keys) else {
            throw .statistics("expected impacts of the same units in each part, found others; calibrate all parts with one checkpoint")
        }
        guard Set(draws).isDisjoint(with: other.draws) else {
            throw .statistics("expected impacts of other draws in each part, found some twice; join every part once")
        }
        draws += other.draws
        for (unit, values) in other.errors { errors[unit, default: []] += values }
        keepFirst()
    }

    private mutating func keepFirst() {
        let order = draws.indices.sorted { draws[$0] < draws[$1] }.prefix(Self.mostDraws)
        draws = order.map { draws[$0] }
        errors = errors.mapValues { values in order.map { values[$0] } }
    }
}

extension ConversionPlan {
    /// The units that this plan leaves open.
    package var impactUnits: Impacts.Units {
        let text = tensors.filter { $0.component == .textEncoder && $0.ruleLine == nil && $0.storage.scheme.isQuantized }
        return Impacts.Units(
            linears: tensors.filter { $0.isOpen && $0.component == .transformer }.map(\.name),
            text: Dictionary(grouping: text.map(\.name), by: Impacts.textUnit))
    }
}

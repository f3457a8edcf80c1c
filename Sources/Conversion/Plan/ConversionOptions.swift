package import Inference
import StrictJSON

/// Everything that a user decides about a conversion.
package struct ConversionOptions: Sendable {
    var policy: QuantizationPolicy
    /// The preset's, unless a test switches some off.
    package var fusions: Fusions
    var components: ComponentSelection
    /// Whether NaN and infinities are stored, in the schemes that can, instead of ending the conversion.
    var allowsNonfinite: Bool
    /// The schedule whose tables replace the networks of time and guidance; nil keeps the networks.
    package var frozenSchedule: FrozenSchedule?
    /// Whether how good the file is stays unmeasured, whatever `components` says.
    package var leavesOutQuality = false
    /// The most bytes that the converting process may take, all in all.
    package var memoryBound: Int

    package static let defaultMemoryBound = 1 << 30

    package init(
        _ preset: Preset, rules: RuleFile? = nil, fusions: Fusions? = nil, components: ComponentSelection = .standard, allowsNonfinite: Bool = false,
        frozenSchedule: FrozenSchedule? = nil, memoryBound: Int = defaultMemoryBound
    ) {
        policy = QuantizationPolicy(preset, rules: rules)
        self.fusions = fusions ?? preset.fusions
        self.components = components
        self.allowsNonfinite = allowsNonfinite
        self.frozenSchedule = frozenSchedule
        self.memoryBound = memoryBound
    }

    /// Stores layers as a calibration chose, where no rule says otherwise.
    package mutating func choose(_ choices: LayerChoices?) { policy.choices = choices }

    /// What the packed directory says of the conversion: preset and rules, and the schedule where one is frozen.
    var recordedPolicy: JSONValue {
        guard let frozenSchedule, case .object(var object) = policy.json else { return policy.json }
        object[FrozenSchedule.policyKey] = frozenSchedule.json
        return .object(object)
    }
}

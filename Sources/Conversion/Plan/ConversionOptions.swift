package import Inference

/// Everything that a user decides about a conversion.
package struct ConversionOptions: Sendable {
    package var policy: QuantizationPolicy
    /// The preset's, unless a test switches some off.
    package var fusions: Fusions
    package var components: ComponentSelection
    /// Whether NaN and infinities are stored, in the schemes that can, instead of ending the conversion.
    package var allowsNonfinite: Bool
    /// The most bytes that the converting process may take, all in all.
    package var memoryBound: Int

    package static let defaultMemoryBound = 1 << 30

    package init(
        _ preset: Preset, rules: RuleFile? = nil, fusions: Fusions? = nil, components: ComponentSelection = .standard, allowsNonfinite: Bool = false,
        memoryBound: Int = defaultMemoryBound
    ) {
        policy = QuantizationPolicy(preset, rules: rules)
        self.fusions = fusions ?? preset.fusions
        self.components = components
        self.allowsNonfinite = allowsNonfinite
        self.memoryBound = memoryBound
    }
}

/// Mistakes of other engines that no configuration and no weight can express, made on purpose where a search for the cause of a
/// difference asks for them. Models run without any.
package struct Deviations: Sendable, Equatable {
    /// In place of the epsilon of every RMS norm.
    var normEpsilon: Double?
    /// GELU by the error function where the model has the tanh form.
    var exactGELU = false

    package static let none = Deviations()

    package init(normEpsilon: Double? = nil, exactGELU: Bool = false) { (self.normEpsilon, self.exactGELU) = (normEpsilon, exactGELU) }
}

extension WeightSource {
    package var deviations: Deviations { .none }
}

/// Which layers of a part of a quantized model to keep in 16 bits, and what that gains and costs.
package struct Advice: Sendable {
    package let title: String
    /// How it was measured, in a few sentences.
    let method: String
    /// What errors are measured on: "velocity" or "picture".
    package let judgedBy: String
    /// Mean signal to noise of the file as it is, in dB.
    let sqnr: Double
    /// The quantized layers of the part that were left out in turn, best to keep first.
    package let layers: [Layer]
    /// All advised layers kept at once: measured, not summed. Nil where none is advised.
    package let together: Together?
    /// The lead of the last advised layer over the next, in dB; nil where there is no next.
    package let margin: Margin?

    package struct Layer: Sendable {
        package let name: String
        /// By how many dB the error falls when this layer alone is kept, a mean over `draws` pictures to be, and its standard error.
        package let gain: Double
        package let standardError: Double
        package let draws: Int
        /// For the layers that are advised.
        package let keep: Keep?

        package init(name: String, gain: Double, standardError: Double, draws: Int, keep: Keep?) {
            (self.name, self.gain, self.standardError, self.draws, self.keep) = (name, gain, standardError, draws, keep)
        }
    }

    package struct Keep: Sendable {
        /// The line of a rule file that keeps the layer.
        let rule: String
        /// By how much the file grows.
        package let addedBytes: Int

        package init(rule: String, addedBytes: Int) { (self.rule, self.addedBytes) = (rule, addedBytes) }
    }

    package struct Together: Sendable {
        package let gain: Double
        package let standardError: Double
        package let addedBytes: Int

        package init(gain: Double, standardError: Double, addedBytes: Int) {
            (self.gain, self.standardError, self.addedBytes) = (gain, standardError, addedBytes)
        }
    }

    package struct Margin: Sendable {
        let lead: Double
        let standardError: Double
        /// Whether the two are told apart: at least three standard errors.
        package let isDistinct: Bool

        package init(lead: Double, standardError: Double, isDistinct: Bool) {
            (self.lead, self.standardError, self.isDistinct) = (lead, standardError, isDistinct)
        }
    }

    package init(
        title: String, method: String, judgedBy: String, sqnr: Double, layers: [Layer], together: Together?, margin: Margin?
    ) {
        self.title = title
        self.method = method
        self.judgedBy = judgedBy
        self.sqnr = sqnr
        self.layers = layers
        self.together = together
        self.margin = margin
    }

    package var advised: [Layer] { layers.filter { $0.keep != nil } }
    /// The lines to paste into a rule file.
    package var rules: [String] { layers.compactMap { $0.keep?.rule } }
}

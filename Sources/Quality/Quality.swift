/// How good a file is: how far its model is from the checkpoint's over a few prompts, and what 16-bit arithmetic costs the same model there.
///
/// Signal to noise in dB throughout; infinite where nothing differs.
package struct Quality: Sendable, Equatable {
    /// A figure of the file, and the same of the checkpoint's weights with 16-bit products.
    package struct Pair: Sendable, Equatable {
        package let file: Double
        package let sixteen: Double

        package init(file: Double, sixteen: Double) { (self.file, self.sixteen) = (file, sixteen) }
    }

    /// One velocity, on the checkpoint's own way and inputs.
    package struct Velocity: Sendable, Equatable {
        let draw: Int
        /// Flow time, 1 for noise.
        let time: Double
        let sqnr: Pair
    }

    /// One picture from noise on, by each model on its own.
    package struct PictureFigures: Sendable, Equatable {
        let draw: Int
        let steps: Int
        let psnr: Pair
        /// -1 to 1; nil for pictures smaller than its window.
        let ssim: Pair?
    }

    /// A layer that holds the file back.
    package struct Layer: Sendable, Equatable {
        package let name: String
        /// By how many dB `judgedBy` gets better when the layer alone is kept in 16 bits.
        package let gain: Double
        let judgedBy: Judge
    }

    package enum Judge: String, Sendable, CaseIterable { case velocity, picture }

    /// What the file is, in a word.
    package enum Word: String, Sendable, CaseIterable {
        case asGoodAs16Bit = "as good as 16 bit"
        case good, fair, poor
    }

    /// The content hash of the file that was measured.
    let contentHash: String
    /// The program that measured.
    let tool: String
    /// How many prompts, each with noise of its own.
    let prompts: Int
    /// Side of the latents.
    let side: Int
    package let velocities: [Velocity]
    /// Empty where the file has no decoder.
    package let pictures: [PictureFigures]
    /// Of the text encoder's features, the file's against the checkpoint's, by prompt; empty where the file has none.
    package let features: [Double]
    /// At most three, that which gains most first; of files that are fair or poor.
    package internal(set) var layers: [Layer]

    /// Those steps that there are pictures of, ascending.
    var steps: [Int] { Set(pictures.map(\.steps)).sorted() }

    /// A figure's median and worst.
    package struct Spread: Sendable, Equatable {
        package let median: Double
        package let worst: Double

        /// - Precondition: at least one value.
        init(_ values: [Double]) {
            let sorted = values.sorted()
            let middle = sorted.count / 2
            // An infinite value and another have no middle but the other.
            median = sorted.count % 2 == 1 || sorted[middle].isInfinite ? sorted[(sorted.count - 1) / 2] : (sorted[middle - 1] + sorted[middle]) / 2
            worst = sorted[0]
        }

        init(median: Double, worst: Double) { (self.median, self.worst) = (median, worst) }
    }

    /// The file's figure over all that was measured, and 16-bit arithmetic's.
    package struct Figure: Sendable, Equatable {
        package let file: Spread
        package let sixteen: Spread

        init(file: Spread, sixteen: Spread) { (self.file, self.sixteen) = (file, sixteen) }

        fileprivate init?(_ pairs: [Pair]) {
            guard !pairs.isEmpty else { return nil }
            self.init(file: Spread(pairs.map(\.file)), sixteen: Spread(pairs.map(\.sixteen)))
        }
    }

    /// - Precondition: at least one velocity, which every measurement and every record that was read has.
    package var velocity: Figure { Figure(file: Spread(velocities.map(\.sqnr.file)), sixteen: Spread(velocities.map(\.sqnr.sixteen))) }
    var picture: Figure? { Figure(pictures.map(\.psnr)) }
    var ssim: Figure? { Figure(pictures.compactMap(\.ssim)) }
    package var word: Word { Word(velocity: velocity, picture: picture) }
}

// MARK: - The rule

extension Quality.Word {
    /// The rule of Formats/quality.md.
    init(velocity: Quality.Figure, picture: Quality.Figure?) {
        let figures = [velocity] + (picture.map { [$0] } ?? [])
        if velocity.isAsGood(), picture?.isAsGood(asFarAs: Self.invisible) ?? true {
            self = .asGoodAs16Bit
        } else if figures.allSatisfy({ $0.reaches(Self.goodLimits) }) {
            self = .good
        } else {
            self = figures.allSatisfy { $0.reaches(Self.fairLimits) } ? .fair : .poor
        }
    }

    /// dB within which two figures count as equal: half of what a draw of other prompts changes.
    fileprivate static let equal = 0.5
    /// dB of a picture from which on no better one can be told from it: errors of 0.8 levels of 255 in the root mean square.
    private static let invisible = 50.0
    /// Twice the error that 16-bit arithmetic makes: where that itself stays below a limit, no more is asked.
    fileprivate static let double = 3.0

    /// dB that a word asks for at least.
    static let goodLimits = Quality.Spread(median: 40, worst: 35)
    static let fairLimits = Quality.Spread(median: 30, worst: 25)
}

extension Quality.Figure {
    /// - Parameter cap: dB above which all is equal.
    fileprivate func isAsGood(asFarAs cap: Double = .infinity) -> Bool {
        file.median >= min(cap, sixteen.median - Quality.Word.equal) && file.worst >= min(cap, sixteen.worst - Quality.Word.equal)
    }

    func reaches(_ limit: Quality.Spread) -> Bool {
        file.median >= min(limit.median, sixteen.median - Quality.Word.double) && file.worst >= min(limit.worst, sixteen.worst - Quality.Word.double)
    }
}

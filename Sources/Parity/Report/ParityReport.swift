/// What a comparison or a verification found, ready to be written as JSON (Formats/report.schema.json) or as one HTML page.
///
/// Both texts come from this value alone, so that every figure on the page is a figure of the JSON.
package struct ParityReport: Sendable {
    package enum Kind: String, Sendable { case comparison, verification }

    let kind: Kind
    let title: String
    package private(set) var passed: Bool
    /// One sentence: what was found.
    package private(set) var headline: String
    /// Tool, processor, libraries, files, in the order in which to show them.
    var environment: [(name: String, value: String)]
    /// What to type to get this report again.
    var command: String
    /// How good the file is, where that is known.
    package var verdict: ReportVerdict?
    package var findings: [Finding] = []
    package var rungs: [Rung] = []
    package var series: [ProbeSeries] = []
    /// Probes that only one of two traces has.
    var onlyInReference: [String] = []
    var onlyInOther: [String] = []
    package var tables: [ReportTable] = []
    package var advice: [Advice] = []
    package var histograms: [WeightHistogram] = []
    package var pictures: [ReportPicture] = []

    package init(
        kind: Kind, title: String, passed: Bool, headline: String, environment: [(name: String, value: String)] = [], command: String = ""
    ) {
        self.kind = kind
        self.title = title
        self.passed = passed
        self.headline = headline
        self.environment = environment
        self.command = command
    }

    /// Turns the verdict: what was found since the report was begun.
    package mutating func fail(_ headline: String) { (passed, self.headline) = (false, headline) }
}

/// One claim of the ladder (quantizer, container, layers, ...), measured.
package struct Rung: Sendable, Equatable {
    /// "P0" to "P9", in the order of the ladder.
    package let id: String
    package let claim: String
    package let measure: String
    package let gate: String
    /// Room left, in words: "4.1x", "exact".
    package let margin: String
    package let passed: Bool
    /// Why the gate is what it is.
    package let reason: String

    package init(id: String, claim: String, measure: String, gate: String, margin: String, passed: Bool, reason: String) {
        self.id = id
        self.claim = claim
        self.measure = measure
        self.gate = gate
        self.margin = margin
        self.passed = passed
        self.reason = reason
    }
}

/// Probes that belong together, in data-flow order: one chart and one table.
package struct ProbeSeries: Sendable {
    package let title: String
    /// What was fed to what, in one sentence.
    let note: String
    package let results: [ProbeResult]
    /// Whether each probe is of a layer that was fed the reference's inputs, so that its error is its own.
    package let isForced: Bool
    package var firstDivergent: String? { results.first { !$0.passed }?.name }

    package init(title: String, note: String, results: [ProbeResult], isForced: Bool = false) {
        self.title = title
        self.note = note
        self.results = results
        self.isForced = isForced
    }
}

/// A small table of words and figures, such as bytes per scheme.
package struct ReportTable: Sendable, Equatable {
    /// What a table is about decides where it stands on the page.
    package enum Topic: String, Sendable { case worst, sizes, picture, other }

    /// A column that is drawn as bars.
    package struct Bars: Sendable, Equatable {
        /// How many columns, from the first, are the label of a bar.
        let labels: Int
        let column: Int
        let unit: String
        /// The first column of figures; words before it.
        let figures: Int

        package init(labels: Int, column: Int, unit: String, figures: Int) {
            (self.labels, self.column, self.unit, self.figures) = (labels, column, unit, figures)
        }
    }

    package let title: String
    package let columns: [String]
    package let rows: [[String]]
    let topic: Topic
    let bars: Bars?

    package init(title: String, columns: [String], rows: [[String]], topic: Topic = .other, bars: Bars? = nil) {
        self.title = title
        self.columns = columns
        self.rows = rows
        self.topic = topic
        self.bars = bars
    }
}

/// A picture of the report, already encoded.
package struct ReportPicture: Sendable, Equatable {
    let caption: String
    let width: Int
    let height: Int
    let png: [UInt8]

    init(caption: String, width: Int, height: Int, png: [UInt8]) {
        self.caption = caption
        self.width = width
        self.height = height
        self.png = png
    }
}

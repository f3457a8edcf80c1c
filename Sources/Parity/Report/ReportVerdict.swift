package import StrictJSON

/// How good a file is, which is not whether it is right: the second thing that a verification's report says.
package struct ReportVerdict: Sendable {
    /// "good".
    package let word: String
    /// What the word rests on, in a sentence.
    package let basis: String
    /// Whether the page and the terminal may show it as something that is well.
    package let isGood: Bool
    /// Figures of the file beside those of 16-bit arithmetic; nil where nothing differs.
    package let table: ReportTable?
    /// What holds it back, in a sentence; nil where nothing does.
    package let heldBack: String?
    package let json: JSONValue

    package init(word: String, basis: String, isGood: Bool, table: ReportTable? = nil, heldBack: String? = nil, json: JSONValue) {
        (self.word, self.basis, self.isGood, self.table, self.heldBack, self.json) = (word, basis, isGood, table, heldBack, json)
    }

    var html: String {
        "<p>\(HTML.escaped(word)): \(HTML.escaped(basis))</p>" + (table?.html ?? "") + (heldBack.map { "<p>\(HTML.escaped($0))</p>" } ?? "")
    }
}

/// An adapter as a verb is told of it: `FILE` or `FILE=WEIGHT`.
package struct AdapterSource: Sendable, Equatable {
    /// A file, or the folder that a training wrote it into.
    package let path: String
    /// What its additions are multiplied by.
    package let weight: Double

    package init(path: String, weight: Double = 1) { (self.path, self.weight) = (path, weight) }

    /// What stands behind the last `=` is the weight where it is a number; else all of it is the file's name, with the weight 1. So a name that ends in `=2` needs
    /// its weight said: `name=2=1`.
    ///
    /// Nil where the weight is empty, infinite or NaN.
    package init?(_ text: String) {
        guard let sign = text.lastIndex(of: "=") else {
            self.init(path: text)
            return
        }
        let (path, number) = (text[..<sign], text[text.index(after: sign)...])
        guard let weight = Double(number) else {
            guard !number.isEmpty else { return nil }
            self.init(path: text)
            return
        }
        guard weight.isFinite, !path.isEmpty else { return nil }
        self.init(path: String(path), weight: weight)
    }

    /// The same in words that mean nothing else.
    package var text: String { weight == 1 && !path.contains("=") ? path : "\(path)=\(weight)" }
}

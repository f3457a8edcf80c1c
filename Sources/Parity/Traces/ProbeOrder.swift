import ProbePoints
internal import StrictJSON

/// The probes of a trace, which may have others than the format knows.
package enum ProbeOrder {
    /// Names in data-flow order; those that the format does not know come last, by their bytes.
    package static func sorted(_ names: [String]) -> [String] {
        names.map { (rank: rank($0), name: ExactString($0)) }
            .sorted { $0.rank == $1.rank ? $0.name < $1.name : $0.rank.lexicographicallyPrecedes($1.rank) }
            .map(\.name.string)
    }

    private static func rank(_ name: String) -> [Int] {
        if let probe = Probe(name) { return probe.rank + [1] }
        // What lies inside a block comes before its output.
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        if parts.count > 4, let block = Probe(parts.prefix(4).joined(separator: ".")), block.kind == .block { return block.rank + [0] }
        return [.max]
    }

    /// Blocks of the transformer that the names speak of: the highest index and one.
    static func depth(_ names: [String]) -> Int {
        names.compactMap { Probe($0) }.filter { $0.kind == .block }.compactMap(\.index).max().map { $0 + 1 } ?? 0
    }
}

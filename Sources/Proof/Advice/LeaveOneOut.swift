import Parity

/// What leaving one quantized layer out of the quantization gains, layer by layer, over several draws of inputs.
///
/// A layer that is clearly not among the best needs no further draw: what decides is between those about the last place.
struct LeaveOneOut {
    /// By candidate, by draw: by how many dB the error falls.
    private(set) var gains: [[Double]]
    /// The candidates that still have a chance, by index.
    private(set) var running: [Int]
    /// How many layers are wanted.
    let places: Int

    init(candidates: Int, places: Int) {
        gains = [[Double]](repeating: [], count: candidates)
        running = Array(0..<candidates)
        self.places = min(places, candidates)
    }

    /// Standard errors apart at which two layers count as told apart.
    static let certain = 3.0
    /// Standard errors behind the last place at which a layer is given up.
    static let hopeless = 5.0
    /// Relative error powers below are float32's own.
    private static let leastError = 1e-14

    /// Takes one draw: the file's error power, and that of each running candidate in their order, each over the same steps.
    mutating func add(steps: [(error: Double, kept: [Double])]) {
        for (place, candidate) in running.enumerated() {
            let decibels = steps.map { Self.sqnr($0.kept[place]) - Self.sqnr($0.error) }
            gains[candidate].append(decibels.reduce(0, +) / Double(steps.count))
        }
    }

    /// Signal to noise of a relative error power, in dB.
    static func sqnr(_ error: Double) -> Double { -Decibels.of(power: max(error, leastError)) }

    /// Mean and its standard error.
    static func statistics(_ values: [Double]) -> (mean: Double, standardError: Double) { (mean(values), standardError(values)) }

    /// All candidates, best first. Those that were given up follow those that were not.
    var ranking: [Int] {
        let behind = gains.indices.filter { !running.contains($0) }
        func sorted(_ list: [Int]) -> [Int] { list.sorted { (mean($0), $1) > (mean($1), $0) } }
        return sorted(running) + sorted(behind)
    }

    func mean(_ candidate: Int) -> Double { Self.mean(gains[candidate]) }

    /// Standard error of the mean over draws; not finite with one draw.
    func standardError(_ candidate: Int) -> Double { Self.standardError(gains[candidate]) }

    /// How far one candidate is ahead of another over the draws that both have, and the standard error of that.
    func lead(_ first: Int, over second: Int) -> (mean: Double, standardError: Double) {
        let differences = zip(gains[first], gains[second]).map { $0 - $1 }
        return (Self.mean(differences), Self.standardError(differences))
    }

    /// The lead of the last place over the next; nil where there is no next.
    var margin: (mean: Double, standardError: Double)? {
        let order = ranking
        return places > 0 && order.count > places ? lead(order[places - 1], over: order[places]) : nil
    }

    /// Whether the last place and the next are told apart.
    var isDecided: Bool {
        guard let margin else { return true }
        return margin.mean > 0 && margin.mean >= Self.certain * margin.standardError
    }

    /// Gives up the candidates that are far behind the last place.
    mutating func giveUpHopeless() {
        let order = ranking
        guard order.count > places + 1 else { return }
        let last = order[places - 1]
        let (kept, doubtful) = (Set(order.prefix(places + 1)), running)
        running = doubtful.filter { candidate in
            guard !kept.contains(candidate) else { return true }
            let lead = lead(last, over: candidate)
            return !(lead.standardError.isFinite && lead.mean > Self.hopeless * lead.standardError)
        }
    }

    private static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

    private static func standardError(_ values: [Double]) -> Double {
        guard values.count > 1 else { return .infinity }
        let mean = mean(values)
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (squares / Double(values.count - 1) / Double(values.count)).squareRoot()
    }
}

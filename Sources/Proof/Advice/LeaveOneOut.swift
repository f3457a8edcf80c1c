import Parity

/// What leaving one quantized layer out of the quantization gains, layer by layer, over several draws of inputs.
///
/// Successive elimination: a layer that is clearly not among the best needs no further draw, what decides is between those about the last place.
/// All are measured on the same inputs and held against each other draw by draw, since most of what a draw does it does to all of them.
struct LeaveOneOut {
    /// By candidate, by draw: by how many dB the error falls.
    private(set) var gains: [[Double]]
    /// The candidates that still have a chance, by index.
    private(set) var running: [Int]
    /// Whether some were given up that were not clearly behind, since the work for all of them was too much.
    private(set) var isCut = false
    /// How many layers are wanted.
    let places: Int

    init(candidates: Int, places: Int) {
        gains = [[Double]](repeating: [], count: candidates)
        running = Array(0..<candidates)
        self.places = min(places, candidates)
    }

    /// Standard errors apart at which two layers count as told apart.
    static let certain = 3.0
    /// With fewer draws nothing is decided: a standard error of two or three says little.
    static let fewest = 8
    /// Standard errors behind the last place at which a layer is given up.
    static let hopeless = 5.0
    /// Relative error powers below are float32's own.
    private static let leastError = 1e-14

    /// The error powers of one draw, by step: the file's, and that of each running candidate in their order.
    typealias Steps = [(error: Double, kept: [Double])]

    /// Measures until the last place is decided, or `most` draws are taken.
    ///
    /// The second look has four times the draws of the first, and so on: while there are many candidates each has few draws.
    /// - Parameters:
    ///   - work: the most draws of a round after the first, all candidates' together; the best and the next go on in any case.
    ///   - measure: gives what some draws do, for the candidates that are running.
    mutating func run<Failure: Error>(
        first: Int, most: Int, work: Int = .max, _ measure: (_ draws: Range<Int>, _ running: [Int]) throws(Failure) -> [Steps]
    ) throws(Failure) {
        var count = 0
        while true {
            let draws = count..<min(max(1, first, 4 * count), max(1, most))
            for steps in try measure(draws, running) { add(steps: steps) }
            count = draws.upperBound
            if count >= most || isDecided && count >= Self.fewest { return }
            giveUpHopeless()
            goOn(with: max(places + 1, work / (min(4 * count, most) - count)))
        }
    }

    /// How it goes about it, for the report.
    static let method =
        "All layers start; after each round those are given up that the last place leads by more than \(Int(hopeless)) standard errors, and the rest is measured "
        + "on four times the draws, until the last place leads all that follow by \(Int(certain)) or the most draws are taken. "
        + "Where these are more layers than there is work for, only the best go on, and the last place counts as undecided."

    /// Takes one draw.
    mutating func add(steps: Steps) {
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

    /// Whether the last place is told apart from all that follow.
    var isDecided: Bool { behind.allSatisfy { $0.distance >= Self.certain } }

    /// Gives up all but the best, however close the others are.
    private mutating func goOn(with count: Int) {
        guard count < running.count else { return }
        running = ranking.prefix(count).sorted()
        isCut = true
    }

    /// Gives up the candidates that are far behind the last place.
    mutating func giveUpHopeless() {
        let hopeless = Set(behind.dropFirst().filter { $0.distance > Self.hopeless }.map(\.candidate))
        running.removeAll { hopeless.contains($0) }
    }

    /// The running candidates that are not among the best, best first, and by how many standard errors the last place leads them.
    ///
    /// A standard error of few draws may be small by chance: it counts for no less than what is usual among these candidates.
    private var behind: [(candidate: Int, distance: Double)] {
        let others = ranking.prefix(running.count).dropFirst(places)
        guard places > 0, !others.isEmpty else { return [] }
        let leads = others.map { lead(ranking[places - 1], over: $0) }
        let usual = Self.mean(leads.map { $0.standardError * $0.standardError }).squareRoot()
        return zip(others, leads).map { other, lead in
            let error = max(lead.standardError, usual)
            return (other, lead.mean > 0 && error.isFinite ? lead.mean / error : 0)
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

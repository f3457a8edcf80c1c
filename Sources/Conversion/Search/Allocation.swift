import Glibc

/// Spends bytes where they take away most of a loss.
///
/// Of each item's options those count that lie on the lower convex hull of bytes and loss; from the smallest of all, the steps along the hulls are
/// taken in the order of what a byte gains. What comes out is the best there is for its bytes, but for the last step.
struct Allocation {
    struct Option: Sendable {
        let bytes: Double
        /// By draw, a power; options of all items add up.
        let loss: [Double]
    }

    /// By item.
    let items: [[Option]]
    /// By item: options from the smallest on, each worth its bytes.
    private let hulls: [[Int]]
    private let steps: [Step]
    /// Of the draws: each counts by what it loses in units of what it would lose at most.
    private let weights: [Double]

    private struct Step {
        let item: Int
        /// In the item's hull.
        let place: Int
        let bytes: Double
        let gain: Double
    }

    /// - Precondition: each item has an option, and all have as many draws.
    init(_ items: [[Option]]) {
        self.items = items
        let draws = items.first?.first?.loss.count ?? 0
        let most = (0..<draws).map { draw in items.reduce(0.0) { $0 + ($1.map { $0.loss[draw] }.max() ?? 0) } }
        let weights = most.map { $0 > 0 ? 1 / $0 : 0 }
        func loss(_ option: Option) -> Double { zip(weights, option.loss).reduce(0) { $0 + $1.0 * $1.1 } }
        hulls = items.map { options in
            var hull: [Int] = []
            for index in options.indices.sorted(by: { (options[$0].bytes, loss(options[$0])) < (options[$1].bytes, loss(options[$1])) }) {
                guard let last = hull.last else {
                    hull = [index]
                    continue
                }
                guard loss(options[index]) < loss(options[last]) else { continue }
                // A byte of the step before must not gain less than one of this step.
                while hull.count > 1,
                    Self.slope(options, loss, hull[hull.count - 2], hull[hull.count - 1]) < Self.slope(options, loss, hull[hull.count - 1], index)
                {
                    hull.removeLast()
                }
                hull.append(index)
            }
            return hull
        }
        steps = zip(items, hulls).enumerated().flatMap { item, pair in
            let (options, hull) = pair
            return hull.indices.dropFirst().map { place in
                let (from, to) = (options[hull[place - 1]], options[hull[place]])
                return Step(item: item, place: place, bytes: to.bytes - from.bytes, gain: Self.slope(options, loss, hull[place - 1], hull[place]))
            }
        }.sorted { ($0.gain, Double($1.item)) > ($1.gain, Double($0.item)) }
        self.weights = weights
    }

    private static func slope(_ options: [Option], _ loss: (Option) -> Double, _ from: Int, _ to: Int) -> Double {
        let (less, bytes) = (loss(options[from]) - loss(options[to]), options[to].bytes - options[from].bytes)
        return bytes > 0 ? less / bytes : .infinity
    }

    /// The bytes of the smallest options, and of the best.
    var range: ClosedRange<Double> {
        func sum(_ place: (Int) -> Int) -> Double { items.indices.reduce(0) { $0 + items[$1][place($1)].bytes } }
        let least = sum { hulls[$0][0] }
        return least...max(least, sum { hulls[$0][hulls[$0].count - 1] })
    }

    /// The options of the least loss within so many bytes, by item; the smallest where nothing fits.
    func within(_ bytes: Double) -> [Int] {
        var places = items.map { _ in 0 }
        var left = bytes - range.lowerBound
        // What does not fit leaves room for smaller steps behind it, but not for later ones of its own item.
        for step in steps where step.bytes <= left && places[step.item] == step.place - 1 {
            places[step.item] = step.place
            left -= step.bytes
        }
        return places.indices.map { hulls[$0][places[$0]] }
    }

    /// The options of the fewest bytes whose median ratio of signal to noise is at least `decibels`; the best where none is.
    func reaching(_ decibels: Double) -> [Int] {
        var places = items.map { _ in 0 }
        func options() -> [Int] { places.indices.map { hulls[$0][places[$0]] } }
        var taken: [Step] = []
        for step in steps {
            if Self.median(sqnr(options())) >= decibels { break }
            places[step.item] = step.place
            taken.append(step)
        }
        // A large last step may make earlier ones needless.
        for step in taken.reversed().dropFirst() where places[step.item] == step.place {
            places[step.item] = step.place - 1
            if Self.median(sqnr(options())) < decibels { places[step.item] = step.place }
        }
        return options()
    }

    func bytes(_ options: [Int]) -> Double { zip(items, options).reduce(0) { $0 + $1.0[$1.1].bytes } }

    /// By draw, in dB; infinite where nothing is lost.
    func sqnr(_ options: [Int]) -> [Double] {
        weights.indices.map { draw in -10 * log10(zip(items, options).reduce(0) { $0 + $1.0[$1.1].loss[draw] }) }
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard let middle = sorted.indices.dropFirst(sorted.count / 2).first else { return .infinity }
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

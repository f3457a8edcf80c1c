import TestKit
import Testing

@testable import Conversion

/// Bytes are spent where they take away most: against all there is, on problems small enough to try everything.
@Suite struct AllocationTests {
    private static func items(_ seed: UInt64, draws: Int) -> [[Allocation.Option]] {
        var random = SplitMix64(seed: seed)
        return (0..<Int.random(in: 1...5, using: &random)).map { _ in
            (0..<Int.random(in: 1...4, using: &random)).map { _ in
                Allocation.Option(
                    bytes: Double(Int.random(in: 1...40, using: &random)), loss: (0..<draws).map { _ in Double.random(in: 0...1, using: &random) })
            }
        }
    }

    /// All choices of one option each.
    private static func all(_ items: [[Allocation.Option]]) -> [[Int]] {
        items.reduce([[]]) { known, options in known.flatMap { known in options.indices.map { known + [$0] } } }
    }

    /// One draw: its loss is what is made small.
    private static func loss(_ allocation: Allocation, _ options: [Int]) -> Double {
        zip(allocation.items, options).reduce(0) { $0 + $1.0[$1.1].loss[0] }
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func aSizeIsKeptAndSpentWell(_ seed: UInt64) {
        let allocation = Allocation(Self.items(seed, draws: 1))
        let all = Self.all(allocation.items)
        #expect(allocation.range.lowerBound == all.map(allocation.bytes).min())
        for bytes in [allocation.range.lowerBound, (allocation.range.lowerBound + allocation.range.upperBound) / 2, allocation.range.upperBound] {
            let chosen = allocation.within(bytes)
            #expect(allocation.bytes(chosen) <= bytes)
            // Nothing that is no larger loses less, but for what the last step did not fit in: the best of what is larger by one step bounds it.
            let best = all.filter { allocation.bytes($0) <= allocation.bytes(chosen) }.map { Self.loss(allocation, $0) }.min() ?? 0
            let steps = allocation.items.map { ($0.map { $0.loss[0] }.max() ?? 0) - ($0.map { $0.loss[0] }.min() ?? 0) }
            #expect(Self.loss(allocation, chosen) <= best + (steps.max() ?? 0) + 1e-12)
        }
        let most = allocation.within(allocation.range.upperBound)
        #expect(Self.loss(allocation, most) <= (all.map { Self.loss(allocation, $0) }.min() ?? 0) + 1e-12, "with room for all the best is chosen")
    }

    @Test func moreBytesNeverLoseMore() {
        for seed in 0..<40 as Range<UInt64> {
            let allocation = Allocation(Self.items(seed, draws: 1))
            // Along the hulls: from one whole number of steps to the next.
            var last = Double.infinity
            for bytes in stride(from: allocation.range.lowerBound, through: allocation.range.upperBound, by: 1) {
                let chosen = allocation.within(bytes)
                if allocation.bytes(chosen) == bytes { last = min(last, Self.loss(allocation, chosen)) }
            }
            #expect(last <= Self.loss(allocation, allocation.within(allocation.range.lowerBound)) + 1e-12)
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func aRatioIsReachedByNoMoreThanItTakes(_ seed: UInt64) {
        let allocation = Allocation(Self.items(seed, draws: 5))
        let ends = [allocation.range.lowerBound, allocation.range.upperBound].map { Allocation.median(allocation.sqnr(allocation.within($0))) }
        for target in [ends[0] - 1, (ends[0] + ends[1]) / 2, ends[1]] where target.isFinite {
            let chosen = allocation.reaching(target)
            #expect(Allocation.median(allocation.sqnr(chosen)) >= target - 1e-9)
        }
        #expect(allocation.bytes(allocation.reaching(ends[0] - 1)) == allocation.range.lowerBound)
        #expect(allocation.reaching(500) == allocation.within(allocation.range.upperBound), "what cannot be reached is approached")
    }

    @Test func whatIsNotWorthItsBytesIsNotChosen() {
        // The middle option gains less for a byte than going on to the last.
        let items = [[Allocation.Option(bytes: 1, loss: [1]), .init(bytes: 10, loss: [0.99]), .init(bytes: 11, loss: [0])]]
        #expect(Allocation(items).within(10) == [0] && Allocation(items).within(11) == [2])
        // Larger and worse.
        let worse = [[Allocation.Option(bytes: 1, loss: [0.1]), .init(bytes: 2, loss: [0.2])]]
        #expect(Allocation(worse).within(100) == [0] && Allocation(worse).range == 1...1)
        #expect(Allocation([]).within(5) == [] && Allocation([]).bytes([]) == 0)
    }
}

import Parity
import TestKit
import Testing

@testable import Proof

/// The race alone, on gains that are known: what a draw does to all layers alike is large, what tells them apart is small.
@Suite struct LeaveOneOutTests {
    /// Error powers of one draw; candidate i gains `gains[i]` dB and noise.
    private static func draw(_ gains: [Double], noise: Double, running: [Int], _ numbers: inout SplitMix64) -> LeaveOneOut.Steps {
        func random() -> Double { (0..<12).reduce(-6) { sum, _ in sum + Double.random(in: 0..<1, using: &numbers) } }
        let shared = random()
        // All candidates draw, so that a draw does not depend on who is running.
        let scattered = gains.map { $0 + shared + noise * random() }
        let amplitudes = scattered.map { Decibels.amplitude($0) }
        return [(1e-3, running.map { 1e-3 / (amplitudes[$0] * amplitudes[$0]) })]
    }

    @Test("the best of 120 are found with a part of the work", arguments: 0..<20)
    func findsTheBest(seed: Int) {
        var numbers = SplitMix64(seed: UInt64(seed))
        // Gains as layers have them: a few that matter, and many that do not.
        var gains = (0..<120).map { _ in Double.random(in: 0..<0.6, using: &numbers) }
        let best = Array((0..<120).shuffled(using: &numbers).prefix(3))
        for (place, index) in best.enumerated() { gains[index] = 1.6 - 0.3 * Double(place) }
        var race = LeaveOneOut(candidates: gains.count, places: 3)
        var work = 0
        race.run(first: 2, most: 32, work: 240) { draws, running in
            work += draws.count * running.count
            return draws.map { _ in Self.draw(gains, noise: 0.3, running: running, &numbers) }
        }
        #expect(Set(race.ranking.prefix(3)) == Set(best))
        #expect(4 * work < 32 * 120)
    }

    @Test func aRoundTakesNoMoreWorkThanItMay() {
        var numbers = SplitMix64(seed: 2)
        let gains = (0..<60).map { Double($0) / 20 + ($0 > 56 ? 0.5 : 0) }
        var race = LeaveOneOut(candidates: 60, places: 3)
        var rounds: [[Int]] = []
        race.run(first: 2, most: 32, work: 90) { draws, running in
            rounds.append([draws.count, running.count])
            return draws.map { _ in Self.draw(gains, noise: 0.4, running: running, &numbers) }
        }
        #expect(rounds.first == [2, 60] && rounds.count >= 2 && rounds.dropFirst().allSatisfy { $0[0] * $0[1] <= 90 || $0[1] == 4 })
        #expect(race.isCut && Set(race.ranking.prefix(3)) == [57, 58, 59])
    }

    @Test func equalsAreNotToldApart() {
        var numbers = SplitMix64(seed: 1)
        var race = LeaveOneOut(candidates: 5, places: 3)
        let gains = [1, 0.9, 0.5, 0.5, 0.1]
        race.run(first: 2, most: 32) { draws, running in draws.map { _ in Self.draw(gains, noise: 0.1, running: running, &numbers) } }
        #expect(!race.isDecided && Set(race.ranking.prefix(2)) == [0, 1] && race.running == [0, 1, 2, 3])
        #expect(race.gains[3].count == 32 && race.gains[4].count < 32)
    }

    @Test func fewerThanThePlacesAreAllAdvised() {
        var race = LeaveOneOut(candidates: 2, places: 3)
        race.run(first: 1, most: 8) { draws, running in draws.map { _ in [(1e-3, running.map { 1e-3 / Double($0 + 2) })] } }
        #expect(race.isDecided && race.margin == nil && race.ranking == [1, 0] && race.gains[0].count == 8)
    }
}

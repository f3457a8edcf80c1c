import Synchronization
import Tensors
import Testing

@Suite struct ParallelTests {
    private func ranges(_ count: Int, _ grain: Int) -> [Range<Int>] {
        let found = Mutex<[Range<Int>]>([])
        Parallel.forEach(count, grain: grain) { range in found.withLock { $0.append(range) } }
        return found.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
    }

    @Test(arguments: [1, 2, 63, 64, 65, 1000, 100_003], [1, 7, 96, 4096]) func rangesCoverEverythingOnceInWholeGrains(_ count: Int, _ grain: Int) {
        let ranges = ranges(count, grain)
        #expect(ranges.first?.lowerBound == 0 && ranges.last?.upperBound == count && ranges.count <= 128)
        for (range, next) in zip(ranges, ranges.dropFirst()) { #expect(range.upperBound == next.lowerBound && next.lowerBound % grain == 0 && !range.isEmpty) }
    }

    @Test func nothingIsNoWork() { #expect(ranges(0, 1).isEmpty) }

    @Test func piecesMayShareOutWorkThemselves() {
        let total = Atomic<Int>(0)
        Parallel.forEach(50) { outer in
            for _ in outer { Parallel.forEach(20) { inner in total.add(inner.count, ordering: .relaxed) } }
        }
        #expect(total.load(ordering: .relaxed) == 1000)
    }
}

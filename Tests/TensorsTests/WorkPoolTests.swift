import Synchronization
import Tensors
import Testing

@Suite struct WorkPoolTests {
    @Test(arguments: [1, 2, 5]) func everyWorkIsDoneOnceAndHasItsResult(threads: Int) {
        let pool = WorkPool(threads: threads)
        let runs = Atomic<Int>(0)
        let results = (0..<1000).map { index in
            pool.submit { () -> Int in
                runs.add(1, ordering: .relaxed)
                return index * index
            }
        }
        #expect(results.enumerated().allSatisfy { $1.wait() == $0 * $0 })
        #expect(results[7].wait() == 49 && runs.load(ordering: .relaxed) == 1000)
    }

    private final class Order: Sendable {
        let indices = Mutex<[Int]>([])
    }

    /// With one thread nothing runs before somebody waits: urgent work then comes first, the last one of it before the others.
    @Test func urgentWorkComesBeforeWhatIsQueued() {
        let pool = WorkPool(threads: 1)
        let order = Order()
        func note(_ index: Int) -> @Sendable () -> Int {
            {
                order.indices.withLock { $0.append(index) }
                return index
            }
        }
        let usual = (0..<3).map { pool.submit(note($0)) }
        #expect(usual[0].wait() == 0)
        let urgent = (10..<12).map { pool.submit(urgent: true, note($0)) }
        for work in usual + urgent { _ = work.wait() }
        #expect(order.indices.withLock { $0 } == [0, 11, 10, 1, 2])
    }

    /// What a work holds is let go with it, however many wait behind it.
    @Test func doneWorkIsLetGo() {
        final class Witness: Sendable {}
        let pool = WorkPool(threads: 1)
        weak var seen: Witness?
        var first: Pending<Void>?
        do {
            let witness = Witness()
            seen = witness
            first = pool.submit { _ = witness }
        }
        let others = (0..<10).map { _ in pool.submit { 1 } }
        first?.wait()
        #expect(seen == nil)
        for other in others { #expect(other.wait() == 1) }
    }

    @Test func aPoolMayEndWithWorkInIt() {
        for _ in 0..<20 {
            let pool = WorkPool(threads: 3)
            for _ in 0..<50 { pool.submit(detached: {}) }
        }
    }
}

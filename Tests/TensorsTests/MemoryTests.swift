import Dispatch
import Glibc
import Synchronization
import Testing

@testable import Tensors

/// Each in a process of its own: other tests allocate too, and a kept block goes to whoever asks first.
@Suite struct MemoryTests {
    @Test func aBlockServesTheNextBuffersThatItFits() async {
        await #expect(processExitsWith: .success) {
            let address = { (tensor: Tensor) in unsafe UInt(bitPattern: tensor.pointer) }
            let before = Memory.inUse
            let first = address(try Tensor([1 << 20], zeroed: false))
            precondition(Memory.inUse == before && Memory.kept == 4 << 20, "a block that is kept is not in use")
            do {
                let (most, rest) = (try Tensor([3 << 18], zeroed: false), try Tensor([1 << 18], zeroed: false))
                precondition(address(most) == first && address(rest) == first + 3 << 20, "a block too large is divided")
                precondition(Memory.inUse == before + 4 << 20 && Memory.kept == 0)
                withExtendedLifetime((most, rest)) {}
            }
            let again = address(try Tensor([1 << 20], zeroed: false))
            precondition(again == first, "what was divided is joined again")
            precondition(Memory.inUse == before && Memory.kept == 4 << 20)
        }
    }

    /// The C library's blocks and mapped ones never become each other.
    @Test func smallRestsStayWithTheirBlock() async {
        await #expect(processExitsWith: .success) {
            let before = Memory.inUse
            _ = try Tensor([32 << 10], zeroed: false).count
            let (large, small) = (try Tensor([24 << 10], zeroed: false), try Tensor([1 << 10], zeroed: false))
            precondition(Memory.kept == 0 && Memory.inUse == before + 4 << 10 + 128 << 10, "a rest below the least mapped size is not split off")
            withExtendedLifetime((large, small)) {}
        }
    }

    /// What was in use at once at most is all that ever stays with the process.
    @Test func keptBlocksDoNotRaiseThePeak() async {
        await #expect(processExitsWith: .success) {
            var generator = SystemRandomNumberGenerator()
            var held: [Buffer] = []
            for _ in 0..<2000 {
                if Bool.random(using: &generator), !held.isEmpty {
                    held.remove(at: .random(in: held.indices, using: &generator))
                } else if held.count < 8 {
                    let buffer = try Buffer(byteCount: .random(in: 1...3 << 20, using: &generator), zeroed: false)
                    unsafe buffer.mutableBytes.initializeMemory(as: UInt8.self, repeating: 1)
                    held.append(buffer)
                }
                precondition(Memory.inUse + Memory.kept <= Memory.peak)
                precondition(Memory.inUse >= held.reduce(0) { $0 + $1.byteCount })
            }
            precondition(Memory.kept > 0)
        }
    }

    @Test func keptBlocksMakeWayWhereMemoryRunsShort() async {
        await #expect(processExitsWith: .success) {
            Memory.allow(Memory.inUse + 6 << 20)
            for count in [1 << 20, 3 << 19, 1 << 20] { _ = try Tensor([count], zeroed: false).count }
            precondition(Memory.kept <= 6 << 20)
            do {
                _ = try Tensor([2 << 20])
                preconditionFailure("more than the limit was given")
            } catch {}
        }
    }

    /// Threads that ask at the same moment do not pass the limit together.
    @Test func theLimitIsThatOfAllThreads() async {
        await #expect(processExitsWith: .success) {
            let size = 1 << 20
            Memory.allow(Memory.inUse + size)
            let refused = Atomic<Int>(0)
            // A busy machine may run them one after the other: they go on until they have met, for some seconds at most.
            let end = ContinuousClock.now + .seconds(20)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                repeat {
                    for _ in 0..<20_000 {
                        do { _ = try Buffer(byteCount: size, zeroed: false).byteCount } catch { refused.add(1, ordering: .relaxed) }
                    }
                } while refused.load(ordering: .relaxed) == 0 && ContinuousClock.now < end
            }
            precondition(refused.load(ordering: .relaxed) > 0, "the threads never met")
            guard Memory.peak <= Memory.limit else { exit(3) }
        }
    }

    @Test func aSizeThatNoMachineHasIsRefused() {
        for count in [Int.max, Int.max - 4096, 1 << 62] {
            #expect(throws: MachineError.self) { try Buffer(byteCount: count, zeroed: false) }
        }
    }
}

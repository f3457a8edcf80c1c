import Tensors
import Testing

@Suite struct MemoryTests {
    /// In a process of its own: other tests allocate too, and a kept block goes to whoever asks first.
    @Test func recyclingKeepsBlocksAndThenGivesThemBack() async {
        await #expect(processExitsWith: .success) {
            let before = Memory.inUse
            let address = { (count: Int) throws(AllocationError) -> UInt in
                let tensor = try Tensor([count], zeroed: false)
                return unsafe UInt(bitPattern: tensor.pointer)
            }
            try Memory.recycling {
                let first = try address(1 << 20)
                precondition(Memory.inUse == before + 4 << 20, "a block that is kept counts as in use")
                try Memory.recycling { () throws(AllocationError) in _ = try address(1 << 21) }
                precondition(Memory.inUse == before + 12 << 20, "the outer loop goes on")
                let second = try address(1 << 20)
                precondition(second == first && Memory.inUse == before + 12 << 20)
            }
            precondition(Memory.inUse == before)
            _ = try address(1 << 20)
            precondition(Memory.inUse == before && Memory.peak == before + 12 << 20)
        }
    }

    @Test func keptBlocksMakeWayWhereMemoryRunsShort() async {
        await #expect(processExitsWith: .success) {
            Memory.limit = Memory.inUse + 6 << 20
            try Memory.recycling {
                _ = try Tensor([1 << 20], zeroed: false).count
                _ = try Tensor([(1 << 20) + 16], zeroed: false).count
            }
        }
    }
}

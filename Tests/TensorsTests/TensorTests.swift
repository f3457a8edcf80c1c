import Testing

@testable import Tensors

@Suite struct TensorTests {
    @Test func shapesFromFilesCannotOverflow() {
        #expect(Shape(checking: [1 << 32, 1 << 32]) == nil && Shape(checking: [-1]) == nil)
        #expect(Shape(checking: [])?.elementCount == 1 && Shape(checking: [3, 0, 5])?.elementCount == 0)
        #expect(Shape([2, 3, 4]).rows == 2 && Shape([2, 3, 4]).columns == 12 && Shape([]).rows == 1)
    }

    @Test func copiesShareUntilAskedForAnOwnOne() throws {
        let tensor = try Tensor([2, 2], [1, 2, 3, 4])
        var copy = try tensor.copy()
        var span = copy.mutableSpan
        span[0] = 9
        #expect(tensor.elements == [1, 2, 3, 4] && copy.elements == [9, 2, 3, 4])
        #expect(tensor.reshaped([4, 1]).buffer === tensor.buffer && Tensor(sharing: EncodedTensor(tensor)).buffer === tensor.buffer)
    }

    @Test func writingASharedTensorEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            var tensor = try Tensor([2])
            let other = tensor.reshaped([1, 2])
            _ = tensor.mutableSpan.count
            _ = other.elements
        }
        await #expect(processExitsWith: .success) {
            var tensor = try Tensor([2])
            do { _ = tensor.reshaped([1, 2]).elements }
            _ = tensor.mutableSpan.count
        }
    }

    @Test func memoryIsCountedAndGivenBack() throws {
        let before = Memory.inUse
        do {
            let tensor = try Tensor([1 << 26], zeroed: false)
            #expect(Memory.inUse >= tensor.count * 4 && Memory.peak >= tensor.count * 4)
        }
        // Other tests allocate at the same time, but nothing near the 256 megabytes.
        #expect(Memory.inUse < before + 128 << 20)
    }

    @Test func anAbsurdSizeIsAnErrorNotTheEnd() {
        #expect(throws: MachineError.self) { try Tensor([1 << 60]) }
    }
}

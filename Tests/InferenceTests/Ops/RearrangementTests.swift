import Inference
import Operations
import Tensors
import TestKit
import Testing

/// Moves between pixels, channels and patches: the order of every element.
@Suite struct RearrangementTests {
    @Test func pixelShuffleFollowsTorch() throws {
        // One pixel of eight channels: channel c*4 + dy*2 + dx goes to channel c of the pixel (dy, dx).
        let x = try Tensor([2, 2, 2], [0, 4, 1, 5, 2, 6, 3, 7])
        let unshuffled = try CPU.underTest.unshuffled(x)
        #expect(unshuffled.shape == [1, 1, 8] && unshuffled.elements == [0, 1, 2, 3, 4, 5, 6, 7])
    }

    @Test func theDownsampledShortcutAveragesNeighbours() throws {
        let x = try Tensor([2, 2, 1], [1, 2, 3, 6])
        var y = try Tensor([1, 1, 2], [10, 20])
        CPU.underTest.addShortcut(try CPU.underTest.unshuffled(x), to: &y)
        #expect(y.elements == [11.5, 24.5])
    }

    @Test func repeatsAndMeansOfChannels() throws {
        var wide = try Tensor([2, 4], [0, 0, 0, 0, 1, 1, 1, 1])
        CPU.underTest.addShortcut(try Tensor([2, 2], [1, 2, 3, 4]), to: &wide)
        #expect(wide.elements == [1, 1, 2, 2, 4, 4, 5, 5])
        var narrow = try Tensor([2, 2])
        CPU.underTest.addShortcut(wide, to: &narrow)
        #expect(narrow.elements == [1, 2, 4, 5])
    }

    @Test func layoutsUndoEachOther() throws {
        var random = SplitMix64(seed: 15)
        let x = try random.tensor([3, 4, 5])
        let last = try ImageLayout.channelsLast(x)
        #expect(last.shape == [4, 5, 3] && last.elements[1] == x.elements[20])
        #expect(try ImageLayout.channelsFirst(last).elements == x.elements)
    }

    @Test func patchesAreReadInTheOrderOfTheWeightAndWrittenChannelsFast() throws {
        // Two channels of 2 x 4: 0 ... 7 and 10 ... 17.
        let x = try Tensor([2, 2, 4], [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17])
        let tokens = try Patches.unfold(x, size: 2)
        #expect(tokens.shape == [2, 8] && tokens.elements == [0, 1, 4, 5, 10, 11, 14, 15, 2, 3, 6, 7, 12, 13, 16, 17])
        let back = try Tensor([2, 8], [0, 10, 1, 11, 4, 14, 5, 15, 2, 12, 3, 13, 6, 16, 7, 17])
        #expect(try Patches.fold(back, size: 2, channels: 2, height: 2, width: 4).elements == x.elements)
        #expect(try Patches.fold(try Patches.unfold(x, size: 1), size: 1, channels: 2, height: 2, width: 4).elements == x.elements)
    }
}

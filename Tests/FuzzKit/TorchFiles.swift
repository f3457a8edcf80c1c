import Tensors
import TestKit
import TorchFiles

/// Files of torch.save: archives as they lie, and pickles in an archive that is right.
extension ParserUnderFuzz {
    static let torchFiles = [
        ParserUnderFuzz(
            name: "torch-file",
            seeds: { try ["views", "no-checksums"].map { try InMemoryFile.fixture(Fixtures.path("torch/\($0).pth")) } },
            read: readTorch),
        ParserUnderFuzz(name: "pickle", seeds: pickles) { input in
            let entries = [("data.pkl", input), ("byteorder", Array("little".utf8)), ("data/0", [UInt8](repeating: 7, count: 24)), ("version", [0x33, 0x0A])]
            try readTorch(RawZip(entries.map { RawZip.Entry("model/\($0)", $1) }).bytes)
        },
    ]

    @Sendable private static func readTorch(_ bytes: [UInt8]) throws {
        let onDisk = try InMemoryFile(bytes)
        let file = try TorchFile.open(onDisk.path)
        for tensor in file.containers.flatMap(\.tensors) where tensor.shape.elementCount <= 1 << 12 {
            let size = tensor.shape.elementCount * tensor.dtype.byteCount
            var elements = [UInt8](repeating: 0, count: size)
            try unsafe elements.withUnsafeMutableBytes { unsafe try file.read(tensor, range: 0..<UInt64(size), into: $0) }
        }
    }

    @Sendable private static func pickles() -> [[UInt8]] {
        let plain = PickleText.weights()
        let strided = PickleText.weights { $0.tensor("0", count: 6, offset: 1, sizes: [1, 2], strides: [1, 2]) }
        let parameter = PickleText.weights {
            $0.global("torch._utils", "_rebuild_parameter")
            $0.mark()
            $0.tensor("0", count: 6, sizes: [2, 3], strides: [3, 1])
            $0.raw([0x88])
            $0.emptyOrderedDict()
            $0.raw("tR")
        }
        var training = PickleText()
        training.raw("}")
        training.put(0)
        training.mark()
        training.text("state_dict")
        training.emptyOrderedDict()
        training.put(1)
        training.mark()
        training.text("weight")
        training.tensor("0", count: 6, sizes: [3, 2], strides: [2, 1])
        training.raw("u")
        training.text("epoch")
        training.integer(300)
        training.text("again")
        training.get(1)
        training.raw("u")
        return [plain, strided, parameter, training.finished]
    }
}

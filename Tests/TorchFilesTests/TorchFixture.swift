import Files
import Tensors
import TestKit
import TorchFiles

/// Files of torch.save made by hand, in a folder of one test.
struct TorchFixture {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// 1.0 to 6.0 in float32.
    static let six: [UInt8] = (1...6).flatMap { RawZip.little(Float($0).bitPattern) }

    /// The archive that torch.save would write of this pickle and these storages.
    static func archive(_ pickle: [UInt8], storages: [(key: String, bytes: [UInt8])] = [("0", six)]) -> RawZip {
        var entries = [RawZip.Entry("model/data.pkl", pickle), .init("model/byteorder", Array("little".utf8))]
        entries += storages.map { RawZip.Entry("model/data/\($0.key)", $0.bytes) }
        return RawZip(entries + [.init("model/version", Array("3\n".utf8))])
    }

    func open(_ zip: RawZip) throws -> TorchFile { try open(zip.bytes) }

    func open(_ bytes: [UInt8]) throws -> TorchFile { try TorchFile.open(try folder.put(bytes, "model.pth")) }

    /// The error of a file that is refused; nil where it opens.
    func refusal(_ bytes: [UInt8]) throws -> TorchFileError? {
        do {
            _ = try open(bytes)
            return nil
        } catch let error as TorchFileError { return error }
    }
}

extension TorchFile {
    /// A whole tensor's bytes, read in pieces of some elements.
    func bytes(_ tensor: TorchTensor, piece: Int = 1 << 20) throws -> [UInt8] {
        let size = tensor.dtype.byteCount
        var result: [UInt8] = []
        for start in stride(from: 0, to: tensor.shape.elementCount, by: piece) {
            let end = min(tensor.shape.elementCount, start + piece)
            var part = [UInt8](repeating: 0, count: (end - start) * size)
            unsafe try part.withUnsafeMutableBytes { unsafe try read(tensor, range: UInt64(start * size)..<UInt64(end * size), into: $0) }
            result += part
        }
        return result
    }
}

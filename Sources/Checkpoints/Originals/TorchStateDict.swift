import Files
import StrictJSON
import Tensors
import TorchFiles

/// One dictionary of a torch file as a file of tensors.
final class TorchStateDict: TensorFile {
    private let file: TorchFile
    private let byName: [ExactString: TorchTensor]
    let tensors: [StoredTensor]

    init(_ file: TorchFile, _ container: TorchContainer) {
        self.file = file
        byName = Dictionary(uniqueKeysWithValues: container.tensors.map { (ExactString($0.name), $0) })
        tensors = container.tensors.map { StoredTensor(name: $0.name, dtype: $0.dtype, shape: $0.shape, scratchByteCount: $0.scratchByteCount) }
    }

    var path: String { file.path }
    var byteCount: UInt64 { file.file.size }
    var identity: FileIdentity? { file.file.identity }

    @unsafe func read(_ tensor: StoredTensor, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        guard let stored = byName[ExactString(tensor.name)] else { throw .missingTensor(folder: path, tensor: tensor.name) }
        do { unsafe try file.read(stored, range: range, into: buffer) } catch { throw .torch(error) }
    }

    func checkUnchanged() throws(CheckpointError) {
        do { try file.checkUnchanged() } catch { throw .torch(error) }
    }
}

/// Which weights of a training file are meant.
package enum WeightsChoice: String, Sendable, CaseIterable {
    /// Those of the last step, as NVlabs' own loader takes them.
    case model
    /// Their average over the training.
    case ema

    /// The keys under which training scripts save them, the first that is there counts; "" is the file's own dictionary.
    var containers: [String] {
        switch self {
        case .model: ["state_dict", "model", "module", ""]
        case .ema: ["state_dict_ema", "ema"]
        }
    }

    /// The dictionary of the weights; another one is an error that lists what there is.
    func container(of file: TorchFile) throws(CheckpointError) -> TorchContainer {
        for path in containers { if let container = file.container(path) { return container } }
        throw .noSuchWeights(path: file.path, weights: rawValue, expected: containers, found: file.containers.map(\.path))
    }
}

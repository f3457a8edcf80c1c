import Files
import StrictJSON
import Tensors

/// What one adapter adds to a tensor of a checkpoint: factor * up @ down, or factor * up alone, and with magnitudes DoRA's normalisation.
package struct Adaptation: Sendable {
    /// The adapter's weight * alpha / rank, or / its root.
    package let factor: Double
    package let up: StoredTensor
    package let down: StoredTensor?
    package let magnitude: StoredTensor?
}

/// An adapter that fits a checkpoint, with its weight.
package struct Adapter: Sendable {
    package let source: AdapterSource
    /// From 1, in the order in which adapters were told.
    let number: Int
    let file: AdapterFile
    /// Its tensors by component, under the names that a packed file records: "lora/1/", the module in the words of diffusers, and PEFT's name of the part.
    let files: [String: RenamedFile]
    /// By component and tensor.
    let adaptations: [String: [ExactString: [Adaptation]]]

    package var path: String { file.path }
    /// What it is: "LoRA, rank 4, 24 modules".
    package var summary: String { file.summary }
    /// The components that it changes, by their keys in `model_index.json`.
    package var components: [String] { files.keys.sorted() }
}

extension Checkpoint {
    /// The adapters' files for a packed file's record; reads them whole.
    package func adapterFiles() throws(CheckpointError) -> [(path: String, byteCount: UInt64, sha256: String, weight: Double?)] {
        var records: [(path: String, byteCount: UInt64, sha256: String, weight: Double?)] = []
        for adapter in adapters {
            let folder = "lora/\(adapter.number)"
            do throws(FileError) {
                let file = try InputFile(path: adapter.path)
                guard file.identity == adapter.file.file.identity else { throw .changedWhileReading(path: file.path) }
                records.append((Paths.join(folder, Paths.name(of: file.path)), file.size, try file.sha256(), adapter.source.weight))
                // Settings decide about factors.
                guard let settings = adapter.file.settingsFile else { continue }
                records.append((Paths.join(folder, Paths.name(of: settings.path)), settings.size, try settings.sha256(), nil))
            } catch { throw .file(error) }
        }
        return records
    }
}

import Checkpoints
import Inference

extension ConversionPlan {
    /// The small files of a checkpoint that a packed file of `components` needs, and that an export gives back byte for byte.
    static func blobs(of checkpoint: Checkpoint, components: [Component]) -> [SmallFile] {
        // The transformer's configuration says what family the file is of, whatever parts it has.
        let folders = Set(components.compactMap(\.folder)).union(["transformer", "scheduler"])
        return checkpoint.smallFiles.filter { file in
            let parts = file.path.split(separator: "/")
            return parts.count == 1 || folders.contains(String(parts[0]))
        }
    }
}

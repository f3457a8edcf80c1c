import Files

/// Where a checkpoint is, as a verb is told: a folder of diffusers, perhaps with the weights of single components from files elsewhere.
package struct CheckpointSource: Sendable {
    /// The folder; with `base`, a file of the transformer's weights.
    package var path: String
    /// The folder that gives what the file `path` lacks.
    package var base: String?
    /// Which of several sets of weights the folder's components are read from, "fp16" for instance.
    package var variant: String?
    /// Files to take components' weights from, by their keys in `model_index.json`.
    package var files: [String: String] = [:]
    /// Folders that take the place of components' own: a text encoder as its authors publish it.
    package var folders: [String: String] = [:]
    /// Which weights of training files are meant.
    package var weights = WeightsChoice.model
    /// What the largest flow time is for a transformer before distillation; nil where its configuration says.
    package var timeScale: Double?
    /// What is added to the weights.
    package var adapters: [AdapterSource] = []
    /// Patterns over names of tensors that are left out, whatever they hold.
    package var ignored: [Glob] = []
    /// The components that are wanted, by their keys in `model_index.json`: others that are not there are not missed. Nil for all.
    package var wanted: Set<String>?
    /// How a control network is wired; nil for as it says itself.
    package var wiring: ControlWiring?

    package init(_ path: String) { self.path = path }

    /// Opens the folder and the files; no tensor is read.
    package func open() throws(CheckpointError) -> Checkpoint { try opened().adapted(by: adapters) }

    private func opened() throws(CheckpointError) -> Checkpoint {
        guard let base else {
            guard Paths.isDirectory(path) || !Paths.exists(path) else { throw .fileWithoutFolder(path: path) }
            return try Checkpoint(folder: self)
        }
        guard !Paths.isDirectory(path) else { throw .twoFolders(path: path, base: base) }
        var folder = self
        (folder.path, folder.base) = (base, nil)
        folder.files["transformer"] = path
        return try Checkpoint(folder: folder)
    }
}

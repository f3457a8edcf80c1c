import Files
import Safetensors
import TestKit
import Testing

@testable import Checkpoints

/// What people give in place of a checkpoint's folder.
struct MistakenPathTests {
    let mini: MiniCheckpoint

    init() throws { mini = try MiniCheckpoint() }

    private func message(_ path: String) -> String {
        do {
            _ = try CheckpointSource(path).open()
            return ""
        } catch { return "\(error)" }
    }

    /// A cache as the hub's library makes it: the checkpoint's content as a snapshot.
    private func cache() throws -> (root: String, repository: String, snapshot: String) {
        let root = mini.folder.file("cache")
        let repository = "\(root)/models--Org--Name"
        for folder in [root, repository, "\(repository)/blobs", "\(repository)/refs", "\(repository)/snapshots", "\(repository)/snapshots/abc"] {
            try Paths.makeDirectory(folder)
        }
        try mini.write(MiniCheckpoint.modelIndex, "cache/models--Org--Name/snapshots/abc/model_index.json")
        return (root, repository, "\(repository)/snapshots/abc")
    }

    @Test("folders of the hub's cache lead to the snapshot") func hubCache() throws {
        let cache = try cache()
        for path in [cache.root, cache.repository] {
            #expect(throws: CheckpointError.hubCache(path: path, snapshots: [cache.snapshot])) { try CheckpointSource(path).open() }
            #expect(message(path).hasSuffix("give \(cache.snapshot)"))
        }
        Paths.removeTree(cache.snapshot)
        #expect(message(cache.repository).contains("hf download"))
    }

    @Test("a repository's name is to be downloaded") func repositoryID() {
        let name = "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers"
        #expect(throws: CheckpointError.repositoryID(name)) { try CheckpointSource(name).open() }
        #expect(message(name).contains("hf download \(name) --local-dir Sana_Sprint_1.6B_1024px_diffusers"))
        for path in ["/Org/Name", "./Name", "a/b/c", "Name", "Org/", "Org/Na me"] { #expect(!message(path).contains("hf download"), "\(path)") }
    }

    @Test("the authors' folder, and their file, lead to --base") func originals() throws {
        try Paths.makeDirectory(mini.folder.file("authors"))
        try Paths.makeDirectory(mini.folder.file("authors/checkpoints"))
        try mini.write("x", "authors/checkpoints/Sana_Sprint.pth")
        #expect(throws: CheckpointError.originalFolder(path: mini.folder.file("authors"), found: ["checkpoints/Sana_Sprint.pth"])) {
            try CheckpointSource(mini.folder.file("authors")).open()
        }
        for path in ["authors", "authors/checkpoints/Sana_Sprint.pth"] {
            #expect(message(mini.folder.file(path)).contains("convert FILE --base FOLDER"))
        }
    }

    @Test("links that lead nowhere are named, for a file and for a folder") func danglingLinks() throws {
        mini.remove("vae/diffusion_pytorch_model.safetensors")
        try mini.link("vae/diffusion_pytorch_model.safetensors", to: "../blobs/gone")
        let file = mini.folder.file("vae/diffusion_pytorch_model.safetensors")
        #expect(throws: CheckpointError.safetensors(.file(.danglingLink(path: file, target: "../blobs/gone")))) { try Checkpoint.open(mini.path) }
        #expect(message(mini.path).contains("a link to ../blobs/gone, where nothing is"))
        mini.remove("vae")
        try mini.link("vae", to: "gone")
        #expect(throws: CheckpointError.file(.danglingLink(path: mini.folder.file("vae"), target: "gone"))) { try Checkpoint.open(mini.path) }
    }

    @Test("GGUF is no pickle") func gguf() throws {
        mini.remove("text_encoder/model.safetensors")
        try mini.write("GGUF", "text_encoder/gemma-Q8_0.gguf")
        #expect(throws: CheckpointError.ggufWeights(folder: mini.folder.file("text_encoder"), found: ["gemma-Q8_0.gguf"])) { try Checkpoint.open(mini.path) }
        #expect(!message(mini.path).contains("run any code"))
    }
}

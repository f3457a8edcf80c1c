import Files

/// What people give who have a checkpoint in the cache of the Hugging Face hub, or know its name there.
///
/// The cache has a folder `models--ORG--NAME` for each repository, and in its `snapshots` one for each revision: links to files in `blobs`.
enum HubCache {
    /// The snapshots that hold a checkpoint, in the folder of a repository or of all of them; nil where the folder is neither.
    static func snapshots(in folder: String, _ names: [String]) -> [String]? {
        if names.contains("snapshots"), names.contains("refs") || names.contains("blobs") { return revisions(of: folder) }
        if names.contains("hub"), !names.contains(where: { $0.hasPrefix("models--") }) {
            let hub = Paths.join(folder, "hub")
            return ((try? Paths.entries(of: hub)) ?? []).contains { $0.hasPrefix("models--") } ? snapshots(in: hub, (try? Paths.entries(of: hub)) ?? []) : nil
        }
        let repositories = names.filter { $0.hasPrefix("models--") }
        return repositories.isEmpty ? nil : repositories.flatMap { revisions(of: Paths.join(folder, $0)) }
    }

    private static func revisions(of repository: String) -> [String] {
        let folder = Paths.join(repository, "snapshots")
        return ((try? Paths.entries(of: folder)) ?? []).map { Paths.join(folder, $0) }.filter { Paths.exists(Paths.join($0, "model_index.json")) }
    }

    /// Whether a path that leads nowhere may be a name of the hub: ORG/NAME.
    static func isRepositoryID(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2
            && parts.allSatisfy { part in
                let isPlain = part.utf8.allSatisfy { byte in
                    UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 || "-_.".utf8.contains(byte)
                }
                return isPlain && !part.isEmpty && !part.hasPrefix(".")
            } && !Paths.isDirectory(String(parts[0]))
    }
}

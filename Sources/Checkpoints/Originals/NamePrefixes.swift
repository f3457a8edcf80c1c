/// What wrappers of PyTorch and other programs put before the names of a model's tensors.
enum NamePrefixes {
    /// Wrappers of modules inside a model: FSDP, torch.compile, activation checkpoints.
    static let wrappers: Set<Substring> = ["_fsdp_wrapped_module", "_orig_mod", "_checkpoint_wrapped_module"]
    /// What stands before every name where it stands anywhere: DDP, ComfyUI, NVlabs' own loader.
    private static let prefixes = ["module.", "model.diffusion_model.", "model.", "base_model.", "transformer."]

    /// The names without wrappers, and without prefixes that all of them share, one inside the other.
    static func stripped(_ names: [String]) -> [String] {
        var names = names.map { name in
            name.split(separator: ".", omittingEmptySubsequences: false).filter { !wrappers.contains($0) }.joined(separator: ".")
        }
        while let prefix = prefixes.first(where: { prefix in !names.isEmpty && names.allSatisfy { $0.hasPrefix(prefix) && $0 != prefix } }) {
            names = names.map { String($0.dropFirst(prefix.count)) }
        }
        return names
    }
}

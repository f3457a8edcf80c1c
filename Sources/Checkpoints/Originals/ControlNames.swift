import Tensors

/// The names of NVlabs' control networks (diffusion/model/nets/sana_multi_scale_controlnet.py) in those of diffusers' SanaControlNetModel: copies of
/// the base's first blocks, a linear before the first and one after each. The files hold the whole base too.
enum ControlNames {
    /// The tensors that tell the names of NVlabs from those of diffusers.
    static let originalMark = "controlnet.0.before_proj.weight"
    static let diffusersMark = "input_block.weight"

    /// What the branch's names begin with.
    private static let branch = "controlnet."
    /// Modules of the base that diffusers gives a control network copies of.
    private static let embedders = ["x_embedder.", "t_embedder.", "cfg_embedder.", "t_block.", "y_embedder.y_proj.", "attention_y_norm."]

    static func omissionReason(_ name: String) -> String? {
        let isKept = name.hasPrefix(branch) || embedders.contains(where: name.hasPrefix)
        return isKept ? nil : TransformerNames.omitted[name] ?? "weights of the base, which the checkpoint has"
    }

    static func pieces(of source: StoredTensor, name: String, path: String) throws(CheckpointError) -> [TensorPiece] {
        guard name.hasPrefix(branch) else { return try TransformerNames.pieces(of: source, name: name, path: path, embedsGuidance: true) }
        let parts = name.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return [TensorPiece(name: name, source: source)] }
        let (index, rest) = (parts[1], parts[3])
        switch parts[2] {
        case "copied_block": return try TransformerNames.pieces(of: source, name: "blocks.\(index).\(rest)", path: path, embedsGuidance: true)
        case "before_proj" where index == "0": return [TensorPiece(name: "input_block.\(rest)", source: source)]
        case "after_proj": return [TensorPiece(name: "controlnet_blocks.\(index).\(rest)", source: source)]
        default: return [TensorPiece(name: name, source: source)]
        }
    }
}

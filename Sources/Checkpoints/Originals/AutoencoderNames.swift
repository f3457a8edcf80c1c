import StrictJSON
import Tensors

/// The names of mit-han-lab's DC-AE (efficientvit/models/efficientvit/dc_ae.py) in those of diffusers' AutoencoderDC. 1x1 convolutions that diffusers
/// has as linears lose their last two extents, fused ones are told apart by rows. Formats/checkpoint.md has the table.
struct AutoencoderNames {
    /// Whether the encoder begins with a down block: its first convolution lies one module deeper then, which its name alone does not say.
    let encoderBeginsWithBlock: Bool

    init(configuration: JSONValue) {
        encoderBeginsWithBlock = configuration["encoder_layers_per_block"]?.array?.first?.integer == 0
    }

    /// A tensor that every DC-AE has.
    static let diffusersMark = "decoder.conv_in.weight"

    static func isOriginal(_ names: [String]) -> Bool {
        names.contains { $0.hasPrefix("decoder.project_in.") || $0.hasPrefix("decoder.stages.") }
    }

    private static let blockModules = ModuleNames([
        "conv1.conv": ["conv1"],
        "conv2.conv": ["conv2"],
        "conv2.norm": ["norm"],
        // Down and up blocks: a convolution, or one inside the module that moves pixels and channels.
        "conv": ["conv"],
        "conv.conv": ["conv"],
        "context_module.proj.norm": ["attn.norm_out"],
        "local_module.inverted_conv.conv": ["conv_out.conv_inverted"],
        "local_module.depth_conv.conv": ["conv_out.conv_depth"],
        "local_module.point_conv.conv": ["conv_out.conv_point"],
        "local_module.point_conv.norm": ["conv_out.norm"],
    ])

    /// The pieces of a tensor of that name, prefixes stripped; a name that is in no table stays as it is.
    func pieces(of source: StoredTensor, name: String, path: String) throws(CheckpointError) -> [TensorPiece] {
        let unknown = [TensorPiece(name: name, source: source)]
        guard let (module, suffix) = ModuleNames.parts(of: name) else { return unknown }
        // Residual blocks keep their content in `main`, lists in `op_list`.
        let parts = module.split(separator: ".").filter { $0 != "main" && $0 != "op_list" }
        guard let half = parts.first, half == "encoder" || half == "decoder", parts.count >= 3 else { return unknown }
        if parts[1] == "stages" {
            guard parts.count >= 5 else { return unknown }
            let prefix = "\(half).\(half == "encoder" ? "down" : "up")_blocks.\(parts[2]).\(parts[3])."
            let inner = parts[4...].joined(separator: ".")
            if let pieces = try Self.blockModules.pieces(of: source, module: inner, suffix: suffix, prefix: prefix, path: path) { return pieces }
            return try Self.attention(source, inner: parts[4...], suffix: suffix, prefix: prefix, path: path) ?? unknown
        }
        guard let renamed = end(of: String(half), parts[1...].joined(separator: ".")) else { return unknown }
        return [TensorPiece(name: "\(half).\(renamed).\(suffix)", source: source)]
    }

    /// What comes before and behind the stages.
    private func end(of half: String, _ module: String) -> String? {
        switch (half, module) {
        case ("encoder", "project_in.conv"): encoderBeginsWithBlock ? "conv_in.conv" : "conv_in"
        case ("encoder", "project_in.conv.conv"): "conv_in.conv"
        case ("encoder", "project_out.0.conv"): "conv_out"
        case ("decoder", "project_in.conv"): "conv_in"
        case ("decoder", "project_out.0"): "norm_out"
        case ("decoder", "project_out.2.conv"): "conv_out"
        case ("decoder", "project_out.2.conv.conv"): "conv_out.conv"
        default: nil
        }
    }

    /// Linear attention with its branches at other scales.
    private static func attention(
        _ source: StoredTensor, inner: ArraySlice<Substring>, suffix: String, prefix: String, path: String
    ) throws(CheckpointError) -> [TensorPiece]? {
        guard inner.first == "context_module" else { return nil }
        switch inner.dropFirst().joined(separator: ".") {
        case "qkv.conv":
            let pieces = try ModuleNames.split(source, into: ["q", "k", "v"].map { "\(prefix)attn.to_\($0).\(suffix)" }, path: path)
            return pieces.map { TensorPiece(name: $0.name, source: source, rows: $0.rows, shape: matrix($0.shape)) }
        case "proj.conv": return [TensorPiece(name: "\(prefix)attn.to_out.\(suffix)", source: source, shape: matrix(source.shape))]
        default:
            let parts = Array(inner.dropFirst())
            guard parts.count == 3, parts[0] == "aggreg", let end = ["0": "proj_in", "1": "proj_out"][String(parts[2])] else { return nil }
            return [TensorPiece(name: "\(prefix)attn.to_qkv_multiscale.\(parts[1]).\(end).\(suffix)", source: source)]
        }
    }

    /// `[out, in, 1, 1]` as `[out, in]`; of any other shape nothing changes, and the model says what it expected.
    private static func matrix(_ shape: Shape) -> Shape {
        shape.rank == 4 && shape[2] == 1 && shape[3] == 1 ? Shape([shape[0], shape[1]]) : shape
    }
}

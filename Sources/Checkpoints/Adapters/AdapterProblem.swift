import StrictJSON
package import Tensors

/// Something in an adapter that cannot be added to a checkpoint.
package enum AdapterProblem: Sendable, Equatable, CustomStringConvertible {
    case otherKind(tensor: String, kind: String)
    /// No tensor at all.
    case empty
    /// A tensor that is no part of an adapter.
    case stranger(tensor: String)
    /// A module that the checkpoint lacks.
    case noTarget(tensor: String, nearest: [String])
    /// The other part of a pair is missing.
    case incomplete(tensor: String, missing: String)
    case shape(tensor: String, expected: String, found: Shape, target: String)
    case dtype(tensor: String, found: DType)
    case grouped(tensor: String, target: String)
    case columnMagnitude(tensor: String, target: String)
    case noBias(tensor: String, target: String)
    /// What settings say otherwise than the tensors.
    case disagrees(tensor: String, setting: String, expected: String, found: String)
    case alpha(tensor: String, found: String)
    /// A setting that changes what the tensors mean.
    case setting(name: String, found: String, reason: String)

    package var description: String {
        switch self {
        case .otherKind(let tensor, let kind):
            "tensor \(tensor.quoted): expected a LoRA or DoRA, found \(kind), which is not supported; merge it in the program that it was trained with"
        case .empty: "expected the tensors of a LoRA, found none"
        case .stranger(let tensor):
            "tensor \(tensor.quoted): expected a part of a LoRA (lora_A, lora_B, lora_down, lora_up, alpha, ...), found none"
        case .noTarget(let tensor, let nearest):
            "tensor \(tensor.quoted): nothing in the checkpoint takes it" + (nearest.isEmpty ? "" : "; nearest: \(nearest.joined(separator: ", "))")
        case .incomplete(let tensor, let missing): "tensor \(tensor.quoted): expected \(missing) beside it, found none; fetch the file again"
        case .shape(let tensor, let expected, let found, let target):
            "tensor \(tensor.quoted): expected the shape \(expected) for \(target), found \(found); the adapter is of another model or width"
        case .dtype(let tensor, let found): "tensor \(tensor.quoted): expected F16, BF16, F32 or F64, found \(found.rawValue); convert the adapter first"
        case .grouped(let tensor, let target):
            "tensor \(tensor.quoted): expected a linear or an ungrouped convolution, found the depthwise \(target): what is added mixes channels, which no "
                + "depthwise weight can hold; train the adapter without this layer, or take it out of the file"
        case .columnMagnitude(let tensor, let target):
            "tensor \(tensor.quoted): expected one magnitude for each output of \(target), as PEFT has them, found one for each input; "
                + "train with the decomposition by output, or merge it in the program that it was trained with"
        case .noBias(let tensor, let target): "tensor \(tensor.quoted): expected a layer with a bias, found \(target), which has none"
        case .disagrees(let tensor, let setting, let expected, let found):
            "tensor \(tensor.quoted): expected \(expected), as \(setting) says, found \(found); settings and tensors are of different adapters"
        case .alpha(let tensor, let found): "\(tensor.quoted): expected one finite number, found \(found)"
        case .setting(let name, let found, let reason): "\(name): found \(found); \(reason)"
        }
    }
}

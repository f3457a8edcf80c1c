import Checkpoints
import StrictJSON
import Tensors

/// One thing that explains why a component's tensors fit no row of the weight table, said in place of a list of them all.
///
/// Asked only where tensors do not fit: a `quantization_config` that was left behind over weights that do is no obstacle.
enum NamingDiagnosis {
    /// - Parameters:
    ///   - unclaimed: the names that no row takes.
    ///   - missing: the names that rows want and the files lack.
    static func of(_ component: CheckpointComponent, unclaimed: [String], missing: [String]) -> ConversionError? {
        if let method = quantization(component) {
            return .foreignWeights(
                path: component.folder, expected: "weights in floating point", found: "weights quantized with \(method)",
                advice: "give the original; or dequantize in the program that wrote them (transformers: model.dequantize(), save_pretrained), which keeps the "
                    + "loss of its rounding")
        }
        if let name = unclaimed.first(where: { name in [".base_layer.", ".lora_A.", ".lora_down."].contains { name.contains($0) } }) {
            return .foreignWeights(
                path: component.folder, expected: "a model's own weights", found: "an adapter around them (\(name.quoted))",
                advice: "merge it first (peft: merge_and_unload(), save_pretrained)")
        }
        guard missing.count > 1 else { return nil }
        if let name = component.nameOfAuthors, let option = component.fileOption {
            return .foreignWeights(
                path: component.folder, expected: "the names of diffusers", found: "those of the model's authors (\(name.quoted))",
                advice: "give the file itself: \(option) FILE")
        }
        guard let prefix = prefix(component, before: missing) else { return nil }
        let takesOff = component.fileOption.flatMap { component.takesOff(prefix) ? $0 : nil }
        return .foreignWeights(
            path: component.folder, expected: "the names of diffusers and transformers", found: "\(prefix.quoted) before \(missing.count) of them",
            advice: takesOff.map { "give the file itself, which takes that off: \($0) FILE" } ?? "save the inner model alone, or take the prefix off")
    }

    /// What all the missing names stand behind; nil where they do not.
    private static func prefix(_ component: CheckpointComponent, before missing: [String]) -> String? {
        let stored = component.tensorNames.compactMap { component.entry($0)?.name }
        let all = Set(stored.map(ExactString.init))
        for name in stored where name.hasSuffix(".\(missing[0])") {
            let prefix = String(name.dropLast(missing[0].count))
            if missing.allSatisfy({ all.contains(ExactString(prefix + $0)) }) { return prefix }
        }
        return nil
    }

    /// What programs put beside the integers that they make of a weight.
    private static let marks: [(part: String, method: String)] = [
        (".quant_state.bitsandbytes__", "bitsandbytes (4 bits)"), (".absmax", "bitsandbytes (4 bits)"), (".SCB", "bitsandbytes (8 bits)"),
        (".wscales", "SVDQuant (nunchaku)"), (".qweight", "GPTQ or AWQ"), (".weight_packed", "compressed-tensors"), (".weight._data", "quanto"),
        (".weight_scale_2", "ModelOpt (4 bits)"), (".zero_point", "SDNQ"), (".svd_up", "SDNQ"),
    ]

    private static func quantization(_ component: CheckpointComponent) -> String? {
        let mark = marks.first { mark in component.tensorNames.contains { $0.contains(mark.part) } }?.method
        let integers = component.tensorNames.compactMap { name in component.entry(name).flatMap { $0.dtype.isFloatingPoint ? nil : $0.dtype.rawValue } }
        guard mark != nil || !integers.isEmpty else { return nil }
        let configured = component.configuration["quantization_config"]?["quant_method"]?.string
        guard let method = mark ?? configured else {
            // Without a name for it, integers are a method only where they are weights.
            let weights = component.tensorNames.filter { $0.hasSuffix(".weight") && component.entry($0)?.dtype.isFloatingPoint == false }
            return weights.count > 1 ? "a method unknown here (\(weights.count) weights of \(Set(integers).sorted().joined(separator: " and ")))" : nil
        }
        return method
    }
}

extension DType {
    fileprivate var isFloatingPoint: Bool { [.f8e4m3, .f8e5m2, .f16, .bf16, .f32, .f64].contains(self) }
}

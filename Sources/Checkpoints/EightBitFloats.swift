import Files
import StrictJSON
import Tensors

/// Weights in eight-bit floats, as ComfyUI, vLLM and ModelOpt store them: alone, or to be multiplied by a scale beside them.
///
/// They are read in wider types: alone as bfloat16, which holds every value of both kinds; with a scale as float32, their product rounded once.
enum EightBitFloats {
    /// What the scale of `X.weight` is called: a scalar, or one number for each row.
    private static let scales = ["scale_weight", "weight_scale", "weight_scale_inv"]
    /// What stands beside such weights that no value depends on.
    private static let others: [String: String] = [
        "scale_input": "the range of inputs, for arithmetic in eight bits", "input_scale": "the range of inputs, for arithmetic in eight bits",
        "comfy_quant": "the name of the type",
    ]
    /// ComfyUI's sign for "weights here may have scales".
    private static let marker = "scaled_fp8"

    /// The same files, with their eight-bit floats in wider types and without what goes with these.
    static func widened(
        _ files: [any TensorFile], component: String
    ) throws(CheckpointError) -> (files: [any TensorFile], omissions: [Omission], notes: [String]) {
        var weights: [ExactString: StoredTensor] = [:]
        for tensor in files.flatMap(\.tensors) where tensor.dtype.isEightBitFloat && tensor.name.hasSuffix(".weight") {
            weights[ExactString(tensor.name)] = tensor
        }
        guard files.contains(where: { $0.tensors.contains { $0.dtype.isEightBitFloat } }) else { return (files, [], []) }
        var factors: [ExactString: WidenedFile.Scale] = [:]
        var taken: Set<ExactString> = []
        var omissions: [Omission] = []
        for file in files {
            for tensor in file.tensors {
                let (module, suffix) = ModuleNames.parts(of: tensor.name) ?? ("", tensor.name)
                let weight = weights[ExactString(module.isEmpty ? "weight" : "\(module).weight")]
                if suffix == marker {
                    taken.insert(ExactString(tensor.name))
                } else if weight != nil, let reason = others[suffix] {
                    taken.insert(ExactString(tensor.name))
                    omissions.append(Omission(component: component, name: tensor.name, reason: reason))
                } else if let weight, scales.contains(suffix) {
                    let isScale =
                        [.f16, .bf16, .f32].contains(tensor.dtype) && (tensor.shape.elementCount == 1 || tensor.shape.elementCount == weight.shape.rows)
                    guard isScale, factors[ExactString(weight.name)] == nil else {
                        throw .eightBitScale(
                            path: file.path, weight: weight.name, scale: tensor.name, rows: weight.shape.rows, dtype: tensor.dtype, shape: tensor.shape)
                    }
                    taken.insert(ExactString(tensor.name))
                    factors[ExactString(weight.name)] = WidenedFile.Scale(file: file, tensor: tensor)
                }
            }
        }
        let widened = files.map { WidenedFile($0, scales: factors, leavingOut: taken) }
        return (widened, omissions, notes(files.flatMap(\.tensors).filter { $0.dtype.isEightBitFloat && !taken.contains(ExactString($0.name)) }, factors))
    }

    private static func notes(_ tensors: [StoredTensor], _ factors: [ExactString: WidenedFile.Scale]) -> [String] {
        let scaled = tensors.filter { factors[ExactString($0.name)] != nil }.count
        return [
            (tensors.count - scaled, "read as BF16, which holds every one of their values"), (scaled, "read with their scales, as F32"),
        ].filter { $0.0 > 0 }.map { "\($0.0) tensor\($0.0 == 1 ? "" : "s") in eight-bit floats \($0.0 == 1 ? "is" : "are") \($0.1)" }
    }
}

extension DType {
    fileprivate var isEightBitFloat: Bool { self == .f8e4m3 || self == .f8e5m2 }
}

/// A file whose eight-bit floats are seen in wider types.
final class WidenedFile: TensorFile {
    /// What the values of a tensor are multiplied by: one number, or one for each row.
    struct Scale: Sendable {
        let file: any TensorFile
        let tensor: StoredTensor
    }

    private let file: any TensorFile
    private let scales: [ExactString: Scale]
    /// Of the tensors that are widened, as the file has them.
    private let stored: [ExactString: StoredTensor]
    let tensors: [StoredTensor]

    init(_ file: any TensorFile, scales: [ExactString: Scale], leavingOut names: Set<ExactString>) {
        self.file = file
        self.scales = scales
        let kept = file.tensors.filter { !names.contains(ExactString($0.name)) }
        stored = Dictionary(uniqueKeysWithValues: kept.filter(\.dtype.isEightBitFloat).map { (ExactString($0.name), $0) })
        tensors = kept.map { tensor in
            guard tensor.dtype.isEightBitFloat else { return tensor }
            let isScaled = scales[ExactString(tensor.name)] != nil
            return StoredTensor(name: tensor.name, dtype: isScaled ? .f32 : .bf16, shape: tensor.shape, scratchByteCount: tensor.scratchByteCount)
        }
    }

    var path: String { file.path }
    var byteCount: UInt64 { file.byteCount }
    var identity: FileIdentity? { file.identity }

    /// The bytes are read into the end of the buffer and spread from its beginning on.
    @unsafe func read(_ tensor: StoredTensor, range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        guard let stored = stored[ExactString(tensor.name)] else {
            unsafe try file.read(tensor, range: range, into: buffer)
            return
        }
        let size = tensor.dtype.byteCount
        precondition(range.lowerBound.isMultiple(of: UInt64(size)) && buffer.count.isMultiple(of: size), "\(range) of \(tensor.name)")
        let elements = Int(range.lowerBound) / size..<Int(range.upperBound) / size
        let tail = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[(buffer.count - elements.count)...])
        unsafe try file.read(stored, range: UInt64(elements.lowerBound)..<UInt64(elements.upperBound), into: tail)
        let values = stored.dtype == .f8e4m3 ? Self.e4m3 : Self.e5m2
        guard let scale = scales[ExactString(tensor.name)] else {
            for index in 0..<elements.count {
                // Both halves of a bfloat16 are those of the float32 with its value.
                let value = UInt16(truncatingIfNeeded: values[Int(unsafe tail[index])].bitPattern >> 16)
                unsafe buffer.storeBytes(of: value.littleEndian, toByteOffset: 2 * index, as: UInt16.self)
            }
            return
        }
        let columns = max(1, stored.shape.columns)
        let factors = try factors(scale)
        for index in 0..<elements.count {
            let factor = factors.count == 1 ? factors[0] : factors[(elements.lowerBound + index) / columns]
            let value = values[Int(unsafe tail[index])] * factor
            unsafe buffer.storeBytes(of: value.bitPattern.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
        }
    }

    private func factors(_ scale: Scale) throws(CheckpointError) -> [Float] {
        let tensor: EncodedTensor
        do { tensor = try EncodedTensor(dtype: scale.tensor.dtype, shape: scale.tensor.shape) } catch { throw .machine(error) }
        // The buffer has just been made: nobody else reads or writes it.
        unsafe try scale.file.read(scale.tensor, range: 0..<scale.tensor.byteCount, into: tensor.buffer.mutableBytes)
        do { return try tensor.widened().elements } catch { throw .machine(error) }
    }

    func checkUnchanged() throws(CheckpointError) { try file.checkUnchanged() }

    /// The values of the 256 codes of F8_E4M3: four bits of exponent with a bias of 7, three of fraction, no infinity, NaN where all but the sign is 1.
    private static let e4m3: [Float] = codes { code in code & 0x7F == 0x7F ? .nan : value(code, fractionBits: 3, bias: 7) }
    /// Those of F8_E5M2: the upper half of a float16.
    private static let e5m2: [Float] = codes { code in
        guard code & 0x7C == 0x7C else { return value(code, fractionBits: 2, bias: 15) }
        return code & 3 == 0 ? .infinity : .nan
    }

    /// By code, with the sign of its upper bit.
    private static func codes(_ magnitude: (UInt8) -> Float) -> [Float] {
        (0...255).map { code in
            let value = magnitude(UInt8(code) & 0x7F)
            return code < 128 ? value : -value
        }
    }

    private static func value(_ code: UInt8, fractionBits: Int, bias: Int) -> Float {
        let (exponent, fraction) = (Int(code >> fractionBits), Float(code & (1 << fractionBits - 1)))
        let unit = Float(sign: .plus, exponent: max(exponent, 1) - bias - fractionBits, significand: 1)
        return (exponent == 0 ? fraction : fraction + Float(1 << fractionBits)) * unit
    }
}

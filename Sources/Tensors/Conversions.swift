import CKernels

extension EncodedTensor {
    /// The elements as float32: exact for all types of up to 24 significant bits; wider ones are rounded to nearest even.
    ///
    /// - Precondition: no eight-bit floats, which the readers of this tool's files refuse before this point.
    package func widened() throws(MachineError) -> Tensor {
        var result = try Tensor(shape, zeroed: false)
        let (out, isa) = unsafe (SharedPointer(result.mutablePointer), InstructionSet.forConversions.rawValue)
        switch dtype {
        case .f32: unsafe out.pointer.update(from: bytes.baseAddress!.assumingMemoryBound(to: Float.self), count: shape.elementCount)
        case .f16: unsafe convert(out) { unsafe ck_f16_to_f32(isa, $0, $1, $2) }
        case .bf16: unsafe convert(out) { unsafe ck_bf16_to_f32(isa, $0, $1, $2) }
        case .f64: unsafe fill(out, Double.self) { Float($0) }
        case .bool, .u8: unsafe fill(out, UInt8.self) { Float($0) }
        case .i8: unsafe fill(out, Int8.self) { Float($0) }
        case .u16: unsafe fill(out, UInt16.self) { Float($0) }
        case .i16: unsafe fill(out, Int16.self) { Float($0) }
        case .u32: unsafe fill(out, UInt32.self) { Float($0) }
        case .i32: unsafe fill(out, Int32.self) { Float($0) }
        case .u64: unsafe fill(out, UInt64.self) { Float($0) }
        case .i64: unsafe fill(out, Int64.self) { Float($0) }
        case .f8e4m3, .f8e5m2: preconditionFailure("\(dtype) has no float32 conversion here")
        }
        return result
    }

    /// Index of the first NaN or infinity; nil where there is none.
    /// - Precondition: floating point of 16 bits or more.
    package var firstNonfinite: Int? {
        let type =
            switch dtype {
            case .f16: CK_F16
            case .bf16: CK_BF16
            case .f32: CK_F32
            case .f64: CK_F64
            default: preconditionFailure("\(dtype) has no infinities here")
            }
        let index = unsafe ck_find_nonfinite(InstructionSet.forConversions.rawValue, type, bytes.baseAddress, shape.elementCount)
        return index < shape.elementCount ? index : nil
    }

    private func convert(_ out: SharedPointer<Float>, _ kernel: @Sendable (UnsafeRawPointer, UnsafeMutablePointer<Float>, Int) -> Void) {
        let (source, size) = (buffer, dtype.byteCount)
        Parallel.forEach(shape.elementCount, grain: conversionGrain) { range in
            unsafe kernel(source.bytes.baseAddress! + range.lowerBound * size, out.pointer + range.lowerBound, range.count)
        }
    }

    private func fill<Element>(_ out: SharedPointer<Float>, _ type: Element.Type, _ convert: (Element) -> Float) {
        let elements = unsafe bytes.baseAddress!.assumingMemoryBound(to: Element.self)
        for index in 0..<shape.elementCount { unsafe out.pointer[index] = convert(elements[index]) }
    }
}

extension Tensor {
    /// The elements rounded to nearest even in `dtype`: f16 (beyond 65504 infinite) or bf16; f32 and f64 hold them as they are.
    package func narrowed(to dtype: DType) throws(MachineError) -> EncodedTensor {
        let result = try EncodedTensor(dtype: dtype, shape: shape)
        let (source, target, isa) = (buffer, result.buffer, InstructionSet.forConversions.rawValue)
        switch dtype {
        case .f32: unsafe target.mutableBytes.copyMemory(from: source.bytes)
        case .f16, .bf16:
            Parallel.forEach(count, grain: conversionGrain) { range in
                let from = unsafe source.bytes.baseAddress! + range.lowerBound * 4
                let to = unsafe target.mutableBytes.baseAddress! + range.lowerBound * 2
                if dtype == .f16 {
                    unsafe ck_f32_to_f16(isa, from, to, range.count)
                } else {
                    unsafe ck_f32_to_bf16(isa, from, to, range.count)
                }
            }
        case .f64:
            let (from, to) = unsafe (source.bytes.assumingMemoryBound(to: Float.self), target.mutableBytes.assumingMemoryBound(to: Double.self))
            for index in 0..<count { unsafe to[index] = Double(from[index]) }
        default: preconditionFailure("float32 is not narrowed to \(dtype)")
        }
        return result
    }
}

/// Elements that one thread converts at a time.
private let conversionGrain = 16_384

extension Float {
    /// The upper half of the nearest bfloat16, ties to even; NaN stays NaN.
    package var bfloat16Bits: UInt16 { ck_narrow_bf16(bitPattern) }
}

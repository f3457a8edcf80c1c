import Tensors

/// `f32`: the values as they are (Formats/schemes.md, "f32").
enum F32Scheme: SchemeDefinition {
    static let passedThrough: DType? = .f32

    static func planes(for shape: Shape) -> [PlaneSpecification] {
        [PlaneSpecification(name: "values", dtype: .f32, shape: shape, rule: .finite)]
    }

    static func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: SchemeSubject) throws(PackedFileError) -> [RowDistance] {
        let target = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * values.columns * MemoryLayout<Float>.stride
        unsafe target.copyMemory(from: values.pointer, byteCount: values.count * MemoryLayout<Float>.stride)
        return [RowDistance](repeating: RowDistance(), count: values.rows)
    }

    static func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor { try planes[0].widened() }

    static func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        BoundCheck(decoded, source) { _, _ in 0 }
    }
}

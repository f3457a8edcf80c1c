import Tensors

extension Scheme {
    package static let f32 = Scheme(F32Scheme())
}

/// `f32`: the values as they are (Formats/schemes.md, "f32").
struct F32Scheme: SchemeDefinition {
    let name = "f32"
    let traceWord = "exact"
    var elementType: DType? { .f32 }

    /// All that checkpoints hold but float64 has no more bits.
    func isExact(for source: DType) -> Bool { source != .f64 }

    func planes(for shape: Shape) -> [PlaneSpecification] { [PlaneSpecification("values", .f32, shape, .finite(.f32))] }

    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance] {
        let target = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * values.columns * MemoryLayout<Float>.stride
        unsafe target.copyMemory(from: values.pointer, byteCount: values.count * MemoryLayout<Float>.stride)
        return [RowDistance](repeating: RowDistance(), count: values.rows)
    }

    func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor { try planes[0].widened() }

    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck { BoundCheck(decoded, source) { _, _, _ in 0 } }

    /// Nothing is rounded, and there is no noise.
    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding) {
        let target = unsafe planes[0].buffer.mutableBytes.assumingMemoryBound(to: Float.self)
        for column in row.indices { unsafe target[index * row.count + column] = row[column] }
    }

    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane] {
        [ReferencePlane(row.map { $0.isNaN ? nil : $0.bitPattern })]
    }
}

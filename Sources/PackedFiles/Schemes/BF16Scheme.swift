import Tensors

/// `bf16`: the upper half of a float32, rounded to nearest even (Formats/schemes.md, "bf16").
enum BF16Scheme: SchemeDefinition {
    static let passedThrough: DType? = .bf16

    static func planes(for shape: Shape) -> [PlaneSpecification] {
        [PlaneSpecification(name: "values", dtype: .bf16, shape: shape, rule: .finite)]
    }

    static func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: SchemeSubject) throws(PackedFileError) -> [RowDistance] {
        try narrow(values, into: planes[0], at: row, .bf16, limit: "3.3895314e+38", subject)
    }

    static func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor { try planes[0].widened() }

    /// Half a unit in the last place of the source's binade; 2^-134 below the normal numbers.
    static func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        BoundCheck(decoded, source) { _, value in halfUnit(of: value, significandBits: 8, smallestExponent: -126) }
    }
}

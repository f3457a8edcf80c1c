internal import CKernels
import Tensors

/// `int8-rotated`: `int8-per-channel` of rows that a Hadamard matrix has turned, 32 elements at a time (Formats/schemes.md, "int8-rotated").
///
/// What one element of a block has in excess of the others is shared among all 32, so that it does not set the step of the whole row. The
/// matrix is its own inverse, and a product does not see it where both factors are turned.
enum Int8RotatedScheme: SchemeDefinition {
    static let passedThrough: DType? = nil

    /// Rows are blocks of so many elements.
    static let block = 32

    static func holds(_ shape: Shape) -> Bool { shape.columns % block == 0 }

    static func planes(for shape: Shape) -> [PlaneSpecification] { Int8PerChannelScheme.planes(for: shape) }

    static func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: SchemeSubject) throws(PackedFileError) -> [RowDistance] {
        let isa = InstructionSet.forConversions.rawValue
        let nonfinite = unsafe ck_find_nonfinite(isa, CK_F32, values.pointer, values.count)
        guard nonfinite == values.count else { throw subject.nonfinite(nonfinite, values.span[nonfinite]) }
        var turned: Tensor
        do throws(AllocationError) { turned = try basis(of: values) } catch { throw .memory(error) }
        let overflow = unsafe ck_find_nonfinite(isa, CK_F32, turned.pointer, turned.count)
        guard overflow == turned.count else {
            throw subject.outOfRange(overflow, values.span[overflow], .int8Rotated, limit: "\(Float.greatestFiniteMagnitude / Float(block))")
        }
        let columns = values.columns
        let codes = unsafe planes[0].buffer.mutableBytes.baseAddress! + row * columns
        let scales = unsafe planes[1].buffer.mutableBytes.baseAddress! + row * MemoryLayout<Float>.stride
        unsafe ck_quantize_rows_s8(isa, turned.pointer, columns, codes, scales, values.rows, columns)
        let decoded = unsafe turned.mutablePointer
        unsafe ck_dequantize_rows_s8(isa, codes, scales, decoded, columns, values.rows, columns)
        unsafe ck_rotate_rows(isa, decoded, columns, decoded, columns, values.rows, columns)
        return RowDistance.rows(decoded: turned, source: values)
    }

    static func basis(of values: Tensor) throws(AllocationError) -> Tensor {
        var result = try Tensor(values.shape, zeroed: false)
        let columns = values.columns
        unsafe ck_rotate_rows(InstructionSet.forConversions.rawValue, values.pointer, columns, result.mutablePointer, columns, values.rows, columns)
        return result
    }

    static func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor {
        var result = try Int8PerChannelScheme.decode(planes, shape: shape)
        let (rows, columns) = (shape.rows, shape.columns)
        let out = unsafe SharedPointer(result.mutablePointer)
        Parallel.forEach(rows) { range in
            let first = unsafe out.pointer + range.lowerBound * columns
            unsafe ck_rotate_rows(InstructionSet.forConversions.rawValue, first, columns, first, columns, range.count, columns)
        }
        return result
    }

    /// The bound of `int8-per-channel`, which holds for the turned values.
    static func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) throws(AllocationError) -> BoundCheck {
        Int8PerChannelScheme.checkBound(try Int8PerChannelScheme.decode(planes, shape: source.shape), planes, source: try basis(of: source))
    }
}

internal import CKernels
import Tensors

extension Scheme {
    package static let int8Rotated = Scheme(Int8RotatedScheme())
}

/// `int8-rotated`: `int8-per-channel` of rows that a Hadamard matrix has turned, 32 elements at a time (Formats/schemes.md, "int8-rotated").
///
/// What one element of a block has in excess of the others is shared among all 32, so that it does not set the step of the whole row. The
/// matrix is its own inverse, and a product does not see it where both factors are turned.
struct Int8RotatedScheme: SchemeDefinition {
    let name = "int8-rotated"
    let traceWord = "int8"
    var integerTurn: Int? { Self.block }

    /// Rows are blocks of so many elements.
    private static let block = 32
    /// What turned rows are stored as.
    private let turned = Int8PerChannelScheme()

    func obstacle(_ shape: Shape) -> String? { shape.columns % Self.block == 0 ? nil : "whose rows are no blocks of \(Self.block)" }

    func planes(for shape: Shape) -> [PlaneSpecification] { turned.planes(for: shape) }

    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance] {
        let isa = InstructionSet.forConversions.rawValue
        let nonfinite = unsafe ck_find_nonfinite(isa, CK_F32, values.pointer, values.count)
        guard nonfinite == values.count else { throw subject.nonfinite(nonfinite, values.span[nonfinite]) }
        var turned = try wrapping(PackedFileError.memory, try basis(of: values, planes))
        let overflow = unsafe ck_find_nonfinite(isa, CK_F32, turned.pointer, turned.count)
        guard overflow == turned.count else {
            throw subject.outOfRange(overflow, values.span[overflow], name, limit: "\(Float.greatestFiniteMagnitude / Float(Self.block))")
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

    func basis(of values: Tensor, _ planes: [EncodedTensor]) throws(AllocationError) -> Tensor {
        var result = try Tensor(values.shape, zeroed: false)
        let columns = values.columns
        unsafe ck_rotate_rows(InstructionSet.forConversions.rawValue, values.pointer, columns, result.mutablePointer, columns, values.rows, columns)
        return result
    }

    func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor {
        var result = try turned.decode(planes, shape: shape)
        let (rows, columns) = (shape.rows, shape.columns)
        let out = unsafe SharedPointer(result.mutablePointer)
        Parallel.forEach(rows) { range in
            let first = unsafe out.pointer + range.lowerBound * columns
            unsafe ck_rotate_rows(InstructionSet.forConversions.rawValue, first, columns, first, columns, range.count, columns)
        }
        return result
    }

    /// The bound of `int8-per-channel`, which holds for the turned values.
    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) throws(AllocationError) -> BoundCheck {
        turned.checkBound(try turned.decode(planes, shape: source.shape), planes, source: try basis(of: source, planes))
    }

    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding) {
        unsafe turned.perturb(row, at: index, into: planes, &draw)
    }

    /// Blocks of 32 times the Hadamard matrix: five times sums of pairs before their differences, which deals the elements out as often.
    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane] {
        var result = row
        for start in stride(from: 0, to: row.count, by: Self.block) {
            for step in [1, 2, 4, 8, 16] {
                for index in start..<start + Self.block where (index - start) & step == 0 {
                    let (left, right) = (result[index], result[index + step])
                    (result[index], result[index + step]) = (left + right, left - right)
                }
            }
            for index in start..<start + Self.block { result[index] *= Float(0.5).squareRoot() / 4 }
        }
        return turned.reference(result, wholePlanes)
    }
}

internal import CKernels
import Tensors

extension Scheme {
    package static let int8Rotated = Scheme(TurnedScheme(name: "int8-rotated", rows: Int8PerChannelScheme(), block: 32, isBalanced: false))
    /// Exponents from a calibration; without one none.
    package static let int8Balanced = Scheme(TurnedScheme(name: "int8-balanced", rows: Int8PerChannelScheme(), block: 1 << 30, isBalanced: true))
    /// The same of rows with four bits.
    package static let int4Balanced = Scheme(TurnedScheme(name: "int4-balanced", rows: Int4GroupedScheme(), block: 1 << 30, isBalanced: true))
}

/// A scheme that rounds row by row, of rows that Hadamard matrices have turned, block by block, and whose columns may have been balanced by powers of
/// two before (Formats/schemes.md, "int8-rotated", "int8-balanced" and "int4-balanced").
///
/// What one element of a block has in excess of the others is shared among all, so that it does not set the step of the whole row. A matrix
/// is its own inverse, and a product sees neither it nor the powers of two where the inputs have the reverse done to them.
struct TurnedScheme<Rows: RowRounding>: SchemeDefinition {
    let name: String
    /// What turned rows are stored as.
    let rows: Rows
    /// The largest block of a row; a power of two.
    let block: Int
    /// Whether there is an exponent for each column.
    let isBalanced: Bool
    var traceWord: String { rows.traceWord }
    var integerTurn: Int? { block }

    /// Of columns: more would leave nothing of the range of float32.
    private static var largestExponent: Int { 63 }

    func obstacle(_ shape: Shape) -> String? {
        !isBalanced && shape.columns % block != 0 ? "whose rows are no blocks of \(block)" : rows.obstacle(shape)
    }

    func planes(for shape: Shape) -> [PlaneSpecification] {
        let exponents = PlaneSpecification("exponents", .i8, [shape.columns], .exponents(Self.largestExponent), extent: .whole)
        return rows.planes(for: shape) + (isBalanced ? [exponents] : [])
    }

    func wholePlanes(for shape: Shape, _ calibration: Calibration?) throws(MachineError) -> [EncodedTensor] {
        guard isBalanced else { return [] }
        let exponents = calibration?.inputMagnitudes.map { min(Self.largestExponent, max(-Self.largestExponent, Int($0.exponent))) }
        precondition(exponents.map { $0.count == shape.columns } ?? true, "a calibration of other inputs")
        return [
            try EncodedTensor(
                dtype: .i8, shape: [shape.columns],
                copying: (exponents ?? [Int](repeating: 0, count: shape.columns)).map { UInt8(bitPattern: Int8($0)) })
        ]
    }

    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance] {
        let isa = InstructionSet.forConversions.rawValue
        let nonfinite = unsafe ck_find_nonfinite(isa, CK_F32, values.pointer, values.count)
        guard nonfinite == values.count else { throw subject.nonfinite(nonfinite, values.span[nonfinite]) }
        var turned = try wrapping(PackedFileError.machine, try basis(of: values, planes))
        let factors = try wrapping(PackedFileError.machine, try factors(planes, negated: true))
        let overflow = unsafe ck_find_nonfinite(isa, CK_F32, turned.pointer, turned.count)
        let columns = values.columns
        guard overflow == turned.count else {
            throw subject.outOfRange(overflow, values.span[overflow], name, limit: "\(Float.greatestFiniteMagnitude / Float(min(block, columns)))")
        }
        try wrapping(PackedFileError.machine) { () throws(MachineError) in try rows.round(&turned, into: planes, at: row) }
        let decoded = unsafe turned.mutablePointer
        unsafe ck_turn_rows(isa, decoded, columns, nil, decoded, columns, factors?.pointer, values.rows, columns, block)
        withExtendedLifetime(factors) {}
        return RowDistance.rows(decoded: turned, source: values)
    }

    func basis(of values: Tensor, _ planes: [EncodedTensor]) throws(MachineError) -> Tensor {
        var result = try Tensor(values.shape, zeroed: false)
        let (columns, factors) = (values.columns, try factors(planes, negated: false))
        unsafe ck_turn_rows(
            InstructionSet.forConversions.rawValue, values.pointer, columns, factors?.pointer, result.mutablePointer, columns, nil, values.rows, columns, block)
        withExtendedLifetime(factors) {}
        return result
    }

    func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor {
        var result = try rows.decode(planes, shape: shape)
        let (columns, factors) = (shape.columns, try factors(planes, negated: true))
        let (out, after) = unsafe (SharedPointer(result.mutablePointer), factors.map { unsafe SharedPointer(reading: $0.pointer) })
        Parallel.forEach(shape.rows) { range in
            let first = unsafe out.pointer + range.lowerBound * columns
            unsafe ck_turn_rows(
                InstructionSet.forConversions.rawValue, first, columns, nil, first, columns, after?.pointer, range.count, columns, block)
        }
        withExtendedLifetime(factors) {}
        return result
    }

    /// The bound of what turned rows are stored as, for the turned values.
    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) throws(MachineError) -> BoundCheck {
        try rows.checkBound(try rows.decode(planes, shape: source.shape), planes, source: try basis(of: source, planes))
    }

    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding) {
        unsafe rows.perturb(row, at: index, into: planes, &draw)
    }

    /// The columns' powers of two, then blocks times Hadamard matrices: sums of pairs before their differences, stage by stage, which deals the
    /// elements out as often.
    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane] {
        var result = row
        if let exponents = wholePlanes.first?.contents {
            for (column, exponent) in exponents.enumerated() { result[column] *= Float(sign: .plus, exponent: Int(Int8(bitPattern: exponent)), significand: 1) }
        }
        var start = 0
        while start < row.count {
            var size = 1
            while 2 * size <= min(row.count - start, block) { size *= 2 }
            for step in sequence(first: 1, next: { $0 * 2 }).prefix(while: { $0 < size }) {
                for index in start..<start + size where (index - start) & step == 0 {
                    let (left, right) = (result[index], result[index + step])
                    (result[index], result[index + step]) = (left + right, left - right)
                }
            }
            for index in start..<start + size { result[index] *= Float(1 / Double(size).squareRoot()) }
            start += size
        }
        return rows.reference(result, wholePlanes)
    }

    func integerRows(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> (codes: EncodedTensor, scales: EncodedTensor) {
        try rows.integerRows(planes, shape: shape)
    }

    func inputFactors(_ planes: [EncodedTensor]) throws(MachineError) -> Tensor? { try factors(planes, negated: true) }

    /// 2^exponent of each column, or 2^-exponent; nil where all are 1.
    private func factors(_ planes: [EncodedTensor], negated: Bool) throws(MachineError) -> Tensor? {
        guard isBalanced, let exponents = planes.last?.contents, exponents.contains(where: { $0 != 0 }) else { return nil }
        return try Tensor(
            [exponents.count],
            exponents.map { code in
                let exponent = Int(Int8(bitPattern: code))
                return Float(bitPattern: UInt32(127 + (negated ? -exponent : exponent)) << 23)
            })
    }
}

/// A scheme that rounds each row by itself, in any basis.
protocol RowRounding: SchemeDefinition {
    /// Encodes finite rows into their places in the planes, on this thread, and leaves what they decode to in their place.
    func round(_ values: inout Tensor, into planes: [EncodedTensor], at row: Int) throws(MachineError)
}

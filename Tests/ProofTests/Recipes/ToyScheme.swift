import Tensors

@testable import PackedFiles

extension Scheme {
    static let toy4 = Scheme(ToyScheme())
}

extension SchemeList {
    static let withToy = SchemeList(SchemeList.builtIn.schemes + [.toy4])
}

/// `toy-4-bit`: codes of four bits, one step for each group of 16 inputs, and a power of two that multiplies each input channel: all that the
/// built-in schemes do without. One file, as Formats/README.md says.
struct ToyScheme: SchemeDefinition {
    let name = "toy-4-bit"
    let traceWord = "int8"
    private static let group = 16

    func obstacle(_ shape: Shape) -> String? { shape.columns % Self.group == 0 ? nil : "whose rows are no groups of \(Self.group)" }

    func planes(for shape: Shape) -> [PlaneSpecification] {
        let (rows, columns) = (shape.rows, shape.columns)
        return [
            PlaneSpecification("codes", .u8, [rows, columns / 2], .elements("pairs of codes from -7 to 7", of: UInt8.self) { $0 & 15 == 0 || $0 >> 4 == 0 }),
            PlaneSpecification("steps", .f32, [rows, columns / Self.group], .positive),
            PlaneSpecification(
                "factors", .f32, [columns], .elements("powers of two", of: Float.self) { !($0.isNormal && $0 > 0 && $0.significand == 1) }, extent: .whole),
        ]
    }

    /// The square roots of the inputs' magnitudes; without them, a pattern.
    func wholePlanes(for shape: Shape, _ calibration: Calibration?) throws(MachineError) -> [EncodedTensor] {
        let factors = (0..<shape.columns).map { channel -> Float in
            guard let calibration else { return [1, 2, 0.5][channel % 3] }
            return Float(sign: .plus, exponent: Int(calibration.inputMagnitudes[channel].exponent) / 2, significand: 1)
        }
        return [EncodedTensor(try Tensor([shape.columns], factors))]
    }

    func basis(of values: Tensor, _ planes: [EncodedTensor]) throws(MachineError) -> Tensor {
        var result = try values.copy()
        let (columns, factors) = (values.columns, Tensor(sharing: planes[2]).elements)
        var elements = result.mutableSpan
        for index in elements.indices { elements[index] *= factors[index % columns] }
        return result
    }

    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance] {
        for (index, value) in values.elements.enumerated() where !value.isFinite { throw subject.nonfinite(index, value) }
        do throws(MachineError) {
            let scaled = try basis(of: values, planes).elements
            for index in 0..<values.rows {
                unsafe scaled[index * values.columns..<(index + 1) * values.columns].withUnsafeBufferPointer { elements in
                    unsafe store(elements, at: row + index, into: planes) { $0.rounded(.toNearestOrEven) }
                }
            }
            let range = row..<row + values.rows
            let stored = [try planes[0].rows(range), try planes[1].rows(range), planes[2]]
            return RowDistance.rows(decoded: try decode(stored, shape: values.shape), source: values)
        } catch { throw .machine(error) }
    }

    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding) {
        unsafe store(row, at: index, into: planes) { draw.whole($0) }
    }

    /// - Parameter round: a number of steps to a whole one.
    @unsafe private func store(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ round: (Float) -> Float) {
        let codes = unsafe planes[0].buffer.mutableBytes.baseAddress! + index * row.count / 2
        let steps = unsafe planes[1].buffer.mutableBytes.assumingMemoryBound(to: Float.self)
        for column in stride(from: 0, to: row.count, by: 2) {
            let group = column / Self.group
            if column % Self.group == 0 {
                let largest = unsafe row[column..<column + Self.group].reduce(0) { max($0, $1.magnitude) }
                unsafe steps[index * (row.count / Self.group) + group] = largest / 7 == 0 ? 1 : largest / 7
            }
            let step = unsafe steps[index * (row.count / Self.group) + group]
            let pair = (0..<2).map { unsafe UInt8(8 + min(7, max(-7, round(row[column + $0] / step)))) }
            unsafe codes.storeBytes(of: pair[0] | pair[1] << 4, toByteOffset: column / 2, as: UInt8.self)
        }
    }

    func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor {
        let (columns, steps, factors) = (shape.columns, Tensor(sharing: planes[1]).elements, Tensor(sharing: planes[2]).elements)
        let bytes = unsafe Array(planes[0].bytes)
        return try Tensor(
            shape,
            (0..<shape.elementCount).map { index in
                let code = Float(bytes[index / 2] >> UInt8(index % 2 * 4) & 15) - 8
                return code * steps[index / Self.group] / factors[index % columns]
            })
    }

    /// Half a step of the group, and the roundings of quotient and product, over the channel's factor.
    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        let (columns, steps, factors) = (source.columns, Tensor(sharing: planes[1]).elements, Tensor(sharing: planes[2]).elements)
        return BoundCheck(decoded, source) { row, column, _ in
            Double(steps[(row * columns + column) / Self.group]) * (0.5 + 0x1p-16) / Double(factors[column])
        }
    }

    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane] {
        let factors = Tensor(sharing: wholePlanes[0]).elements
        let scaled = zip(row, factors).map { $0 * $1 }
        let steps = stride(from: 0, to: row.count, by: Self.group).map { start -> Float in
            let step = (scaled[start..<start + Self.group].map(\.magnitude).max() ?? 0) / 7
            return step == 0 ? 1 : step
        }
        let codes = scaled.enumerated().map { UInt32(8 + min(7, max(-7, ($1 / steps[$0 / Self.group]).rounded(.toNearestOrEven)))) }
        let pairs = stride(from: 0, to: row.count, by: 2).map { codes[$0] | codes[$0 + 1] << 4 }
        return [ReferencePlane(pairs), ReferencePlane(steps.map(\.bitPattern), ulps: 1)]
    }
}

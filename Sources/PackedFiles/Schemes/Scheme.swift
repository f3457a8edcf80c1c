package import Tensors

/// How the values of a tensor are represented: each scheme is one file here and one section of Formats/schemes.md.
///
/// A scheme works row by row (a row is what one index of the first axis selects), so that tensors too large for the memory can be
/// encoded, decoded and checked in runs of rows.
package enum Scheme: String, Sendable, CaseIterable {
    case f32
    case f16
    case bf16
    case int8PerChannel = "int8-per-channel"
    case int8Rotated = "int8-rotated"

    /// The one place that a new scheme is added to, next to its case.
    var definition: any SchemeDefinition.Type {
        switch self {
        case .f32: F32Scheme.self
        case .f16: F16Scheme.self
        case .bf16: BF16Scheme.self
        case .int8PerChannel: Int8PerChannelScheme.self
        case .int8Rotated: Int8RotatedScheme.self
        }
    }

    /// Whether a tensor of this shape can be stored so.
    package func holds(_ shape: Shape) -> Bool { definition.holds(shape) }

    /// Values in the basis in which the scheme rounds them: themselves, but for schemes that turn rows first.
    package func basis(of values: Tensor) throws(AllocationError) -> Tensor { try definition.basis(of: values) }

    /// The planes of a tensor of this shape, in the order in which a file holds them.
    package func planes(for shape: Shape) -> [PlaneSpecification] { definition.planes(for: shape) }

    /// Encodes float32 values. `subject` names the tensor in errors, and `firstElement` is the index in it of the first value given.
    package func encode(_ tensor: Tensor, subject: String, firstElement: Int = 0) throws(PackedFileError) -> [EncodedTensor] {
        let planes = try allocate(tensor.shape)
        _ = try definition.encode(tensor, into: planes, at: 0, SchemeSubject(name: subject, firstElement: firstElement))
        return planes
    }

    /// Encodes some rows of a tensor into their places in its planes, on this thread.
    ///
    /// Best with rows that lie in the cache: they are read several times.
    /// - Parameters:
    ///   - planes: those of this scheme, which nobody reads meanwhile.
    ///   - row: where the first of `values`' rows goes.
    ///   - firstElement: the index in the tensor `subject` of the first value given.
    /// - Returns: the distance of each row from what was stored for it.
    package func encode(
        _ values: Tensor, into planes: [EncodedTensor], at row: Int, subject: String, firstElement: Int = 0
    ) throws(PackedFileError) -> [RowDistance] {
        precondition(row >= 0 && row + values.rows <= planes[0].shape.rows && values.columns == planes[0].shape.columns, "rows beyond their planes")
        return try definition.encode(values, into: planes, at: row, SchemeSubject(name: subject, firstElement: firstElement))
    }

    /// Encodes rows as a checkpoint holds them, in one pass over them; `planes` and `row` as above.
    /// - Returns: the distance of each row; nil where the scheme cannot do so with these elements, or one of them is no finite number.
    package func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]? {
        precondition(row >= 0 && row + rows.shape.rows <= planes[0].shape.rows && rows.shape.columns == planes[0].shape.columns, "rows beyond their planes")
        return definition.encodeStored(rows, into: planes, at: row)
    }

    /// Planes of unknown content for a tensor of this shape.
    package func allocate(_ shape: Shape) throws(PackedFileError) -> [EncodedTensor] {
        do throws(AllocationError) {
            var result: [EncodedTensor] = []
            for plane in planes(for: shape) {
                result.append(try EncodedTensor(dtype: plane.dtype, shape: plane.shape))
            }
            return result
        } catch { throw .memory(error) }
    }

    /// Encodes values as a checkpoint holds them. What has the scheme's own element type passes through bit by bit, NaN payloads included.
    package func encode(_ source: EncodedTensor, subject: String, firstElement: Int = 0) throws(PackedFileError) -> [EncodedTensor] {
        if source.dtype == definition.passedThrough { return [source] }
        let place = SchemeSubject(name: subject, firstElement: firstElement)
        return try encode(place.widened(source), subject: subject, firstElement: firstElement)
    }

    /// The float32 values of planes of this scheme.
    /// - Precondition: the planes are those of `shape`.
    package func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor {
        precondition(matches(planes, shape), "planes of another scheme or shape")
        return try definition.decode(planes, shape: shape)
    }

    /// How far the values of planes are from their source, row by row.
    package func distances(_ planes: [EncodedTensor], source: Tensor) throws(AllocationError) -> [RowDistance] {
        RowDistance.rows(decoded: try decode(planes, shape: source.shape), source: source)
    }

    /// How far each decoded value is from its source, against the worst case that the scheme allows (Formats/schemes.md, "Bound").
    package func checkBound(_ planes: [EncodedTensor], source: Tensor) throws(AllocationError) -> BoundCheck {
        precondition(matches(planes, source.shape), "planes of another scheme or shape")
        return try definition.checkBound(try definition.decode(planes, shape: source.shape), planes, source: source)
    }

    private func matches(_ planes: [EncodedTensor], _ shape: Shape) -> Bool {
        let expected = self.planes(for: shape)
        return planes.count == expected.count && zip(planes, expected).allSatisfy { $0.dtype == $1.dtype && $0.shape == $1.shape }
    }
}

/// What a scheme has to say about itself.
protocol SchemeDefinition {
    /// The element type whose values the scheme stores as they are.
    static var passedThrough: DType? { get }
    static func holds(_ shape: Shape) -> Bool
    static func basis(of values: Tensor) throws(AllocationError) -> Tensor
    static func planes(for shape: Shape) -> [PlaneSpecification]
    /// Encodes rows into their places in the planes, on this thread, and gives each row's distance from what was stored.
    static func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: SchemeSubject) throws(PackedFileError) -> [RowDistance]
    /// The same of rows in the element type of their source; nil where that has to be widened first.
    static func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]?
    static func decode(_ planes: [EncodedTensor], shape: Shape) throws(AllocationError) -> Tensor
    static func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) throws(AllocationError) -> BoundCheck
}

extension SchemeDefinition {
    static func holds(_ shape: Shape) -> Bool { true }
    static func basis(of values: Tensor) throws(AllocationError) -> Tensor { values }
    static func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]? { nil }
}

/// A plane that a scheme prescribes.
package struct PlaneSpecification: Sendable, Equatable, CustomStringConvertible {
    package let name: String
    package let dtype: DType
    package let shape: Shape
    package let rule: ValueRule

    package var byteCount: Int { shape.elementCount * dtype.byteCount }
    package var description: String { "\(name) \(dtype.rawValue) \(shape)" }
}

/// The tensor, or the run of its rows, that a scheme is at work on: for messages.
struct SchemeSubject {
    let name: String
    let firstElement: Int

    func outOfRange(_ index: Int, _ value: some BinaryFloatingPoint, _ scheme: Scheme, limit: String) -> PackedFileError {
        .refused(
            .outOfRange, subject: "tensor \(name), element \(firstElement + index)", expected: "a magnitude that \(scheme.rawValue) can hold, at most \(limit)",
            found: "\(value)")
    }

    func nonfinite(_ index: Int, _ value: Float) -> PackedFileError {
        .refused(.nonfinite, subject: "tensor \(name), element \(firstElement + index)", expected: "a finite value", found: "\(value)")
    }

    /// The values as float32. A finite float64 must not become an infinity on the way.
    func widened(_ source: EncodedTensor) throws(PackedFileError) -> Tensor {
        let tensor: Tensor
        do throws(AllocationError) { tensor = try source.widened() } catch { throw .memory(error) }
        guard source.dtype == .f64 else { return tensor }
        let values = tensor.span
        let wide = unsafe source.bytes.assumingMemoryBound(to: Double.self)
        for index in values.indices where values[index].isInfinite {
            let value = unsafe wide[index]
            if value.isFinite { throw outOfRange(index, value, .f32, limit: "\(Float.greatestFiniteMagnitude)") }
        }
        return tensor
    }
}

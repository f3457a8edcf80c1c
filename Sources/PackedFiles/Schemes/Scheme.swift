package import Tensors

/// How the values of a tensor are represented: each scheme is one file here and one section of Formats/schemes.md, and its name is its identity.
///
/// A scheme works row by row (a row is what one index of the first axis selects), so that tensors too large for the memory can be
/// encoded, decoded and checked in runs of rows.
package struct Scheme: Sendable, Hashable, CustomStringConvertible {
    let definition: any SchemeDefinition

    init(_ definition: some SchemeDefinition) { self.definition = definition }

    package var name: String { definition.name }
    package var description: String { name }
    package static func == (left: Scheme, right: Scheme) -> Bool { left.name == right.name }
    package func hash(into hasher: inout Hasher) { hasher.combine(name) }

    /// The element type of a scheme of plain floating-point values: what a source of the same type passes through untouched.
    package var elementType: DType? { definition.elementType }
    /// Whether values are rounded to steps.
    package var isQuantized: Bool { elementType == nil }
    /// Magnitudes from here on are rounded to infinity.
    package var overflowLimit: Float { definition.overflowLimit }
    package var traceWord: String { definition.traceWord }
    /// The largest block by which the integer contract turns inputs, 1 where it takes them as they are; nil where it does not cover the scheme.
    package var integerTurn: Int? { definition.integerTurn }

    /// Whether every value of a source of this type comes back as it was.
    package func isExact(for source: DType) -> Bool { definition.isExact(for: source) }
    /// What of a shape keeps the scheme from holding a tensor of it, as "whose rows are ..."; nil where nothing does.
    package func obstacle(_ shape: Shape) -> String? { definition.obstacle(shape) }
    /// Whether a tensor of this shape can be stored so.
    package func holds(_ shape: Shape) -> Bool { obstacle(shape) == nil }

    /// What may be done with the inputs of a weight of this shape; nothing is said of those of plain floating-point values. Turned inputs have
    /// no integer convolution.
    package func activations(for shape: Shape) -> [ActivationScheme] {
        guard isQuantized else { return [] }
        guard let turn = integerTurn, turn == 1 || shape.rank <= 2 else { return [.float] }
        return [.float, .int8PerToken]
    }

    /// The planes of a tensor of this shape, in the order in which a file holds them.
    package func planes(for shape: Shape) -> [PlaneSpecification] { definition.planes(for: shape) }

    /// Bytes of the planes of a tensor, before compression.
    package func byteCount(_ shape: Shape) -> Int { planes(for: shape).reduce(0) { $0 + $1.byteCount } }

    /// Whether planes are those of a tensor of this shape.
    package func matches(_ planes: [EncodedTensor], _ shape: Shape) -> Bool {
        let expected = self.planes(for: shape)
        return planes.count == expected.count && zip(planes, expected).allSatisfy { $0.dtype == $1.dtype && $0.shape == $1.shape }
    }

    /// Values in the basis in which the scheme rounds them: themselves, but for schemes that turn or scale them first.
    package func basis(of values: Tensor, _ planes: [EncodedTensor] = []) throws(MachineError) -> Tensor { try definition.basis(of: values, planes) }

    // MARK: - Encoding

    /// The planes that all rows of a tensor have in common: made once, given to `allocate` for each run of rows.
    package func wholePlanes(for shape: Shape, calibration: Calibration? = nil) throws(PackedFileError) -> [EncodedTensor] {
        return try wrapping(PackedFileError.machine, try definition.wholePlanes(for: shape, calibration))
    }

    /// Those of all planes of a tensor of this shape that all rows have in common.
    package func wholePlanes(of planes: [EncodedTensor], shape: Shape) -> [EncodedTensor] {
        zip(planes, self.planes(for: shape)).filter { $1.extent == .whole }.map(\.0)
    }

    /// Planes for a tensor of this shape, or for some rows of one: those given, and between them planes of unknown content.
    package func allocate(_ shape: Shape, whole: [EncodedTensor]) throws(PackedFileError) -> [EncodedTensor] {
        var whole = whole[...]
        do throws(MachineError) {
            var result: [EncodedTensor] = []
            for plane in planes(for: shape) {
                if plane.extent == .whole, let given = whole.popFirst() {
                    precondition(given.dtype == plane.dtype && given.shape == plane.shape, "another plane than \(plane)")
                    result.append(given)
                } else {
                    result.append(try EncodedTensor(dtype: plane.dtype, shape: plane.shape))
                }
            }
            return result
        } catch { throw .machine(error) }
    }

    /// Encodes float32 values. `subject` names the tensor in errors, and `firstElement` is the index in it of the first value given.
    package func encode(
        _ tensor: Tensor, subject: String, firstElement: Int = 0, calibration: Calibration? = nil
    ) throws(PackedFileError) -> [EncodedTensor] {
        let planes = try allocate(tensor.shape, whole: wholePlanes(for: tensor.shape, calibration: calibration))
        _ = try encode(tensor, into: planes, at: 0, subject: subject, firstElement: firstElement, calibration: calibration)
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
        _ values: Tensor, into planes: [EncodedTensor], at row: Int, subject: String, firstElement: Int = 0, calibration: Calibration? = nil
    ) throws(PackedFileError) -> [RowDistance] {
        checkPlace(row, values.shape, planes)
        return try definition.encode(
            values, into: planes, at: row, EncodingSubject(name: subject, firstElement: firstElement, calibration: calibration))
    }

    /// Encodes rows as a checkpoint holds them, in one pass over them; `planes` and `row` as above.
    /// - Returns: the distance of each row; nil where the scheme cannot do so with these elements, or one of them is no finite number.
    package func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]? {
        checkPlace(row, rows.shape, planes)
        return definition.encodeStored(rows, into: planes, at: row)
    }

    /// Encodes values as a checkpoint holds them. What has the scheme's own element type passes through bit by bit, NaN payloads included.
    func encode(_ source: EncodedTensor, subject: String, firstElement: Int = 0) throws(PackedFileError) -> [EncodedTensor] {
        if source.dtype == elementType { return [source] }
        let place = EncodingSubject(name: subject, firstElement: firstElement, calibration: nil)
        return try encode(place.widened(source), subject: subject, firstElement: firstElement)
    }

    /// A run of rows is short work: what kind of planes they are is looked at in debug builds alone.
    private func checkPlace(_ row: Int, _ shape: Shape, _ planes: [EncodedTensor]) {
        let held = planes[0].shape.rows
        precondition(row >= 0 && row + shape.rows <= held, "rows beyond their planes")
        assert(matches(planes, shape.rank == 0 ? shape : Shape([held] + shape.extents.dropFirst())), "planes of another scheme or shape")
    }

    // MARK: - Decoding

    /// The float32 values of planes of this scheme.
    /// - Precondition: the planes are those of `shape`.
    package func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor {
        precondition(matches(planes, shape), "planes of another scheme or shape")
        return try definition.decode(planes, shape: shape)
    }

    /// The planes of some rows of a tensor of this shape: copies, where they are not all.
    package func rows(_ rows: Range<Int>, of planes: [EncodedTensor], _ shape: Shape) throws(MachineError) -> [EncodedTensor] {
        var result: [EncodedTensor] = []
        for (plane, specification) in zip(planes, self.planes(for: shape)) { result.append(specification.extent == .rows ? try plane.rows(rows) : plane) }
        return result
    }

    /// - Parameter rows: ascending, each once.
    package func rows(_ rows: [Int], of planes: [EncodedTensor], _ shape: Shape) throws(MachineError) -> [EncodedTensor] {
        var result: [EncodedTensor] = []
        for (plane, specification) in zip(planes, self.planes(for: shape)) { result.append(specification.extent == .rows ? try plane.rows(rows) : plane) }
        return result
    }

    /// The int8 codes `[rows, ...]` and scales `[rows]` that the integer contract multiplies; nil where it does not cover the scheme.
    package func integerRows(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> (codes: EncodedTensor, scales: EncodedTensor)? {
        integerTurn == nil ? nil : try definition.integerRows(planes, shape: shape)
    }

    /// What the integer contract multiplies each input by before it is turned, `[inputs]`; nil where by nothing.
    package func inputFactors(_ planes: [EncodedTensor]) throws(MachineError) -> Tensor? { try definition.inputFactors(planes) }

    // MARK: - Proof

    /// How far the values of planes are from their source, row by row.
    package func distances(_ planes: [EncodedTensor], source: Tensor) throws(MachineError) -> [RowDistance] {
        RowDistance.rows(decoded: try decode(planes, shape: source.shape), source: source)
    }

    /// How far each decoded value is from its source, against the worst case that the scheme allows (Formats/schemes.md, "Bound").
    package func checkBound(_ planes: [EncodedTensor], source: Tensor) throws(MachineError) -> BoundCheck {
        try definition.checkBound(try decode(planes, shape: source.shape), planes, source: source)
    }

    /// The planes of values encoded with the noise of honest rounding, on all cores.
    /// - Parameters:
    ///   - whole: the planes that all rows have in common.
    ///   - draw: where the noise of a row comes from.
    package func perturbed(
        _ values: Tensor, whole: [EncodedTensor], draw: @Sendable (_ row: Int) -> StochasticRounding
    ) throws(PackedFileError) -> [EncodedTensor] {
        let planes = try allocate(values.shape, whole: whole)
        let source = try wrapping(PackedFileError.machine, try basis(of: values, planes))
        let columns = source.columns
        let elements = unsafe SharedPointer(reading: source.pointer)
        Parallel.forEach(source.rows) { range in
            for row in range {
                var draw = draw(row)
                unsafe definition.perturb(UnsafeBufferPointer(start: elements.pointer + row * columns, count: columns), at: row, into: planes, &draw)
            }
        }
        withExtendedLifetime(source) {}
        return planes
    }

    /// What the planes of the extent `rows` hold for a row, by a second program.
    package func reference(_ row: [Float], whole: [EncodedTensor]) -> [ReferencePlane] { definition.reference(row, whole) }
}

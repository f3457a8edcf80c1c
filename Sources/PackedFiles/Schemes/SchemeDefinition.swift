import Tensors

/// All that anybody asks about a scheme: one file with a value of this kind, its place in `SchemeList.builtIn`, its kernel if it has one
/// of its own, and a section of Formats/schemes.md with vectors are all that a scheme is (Formats/README.md, "To add a scheme").
///
/// What has no default here nobody can do without: a scheme that forgot its noise would have honest files accused.
protocol SchemeDefinition: Sendable {
    /// Its identity, in files and in rules.
    var name: String { get }
    /// The element type whose values it stores as they are; nil where it rounds values to steps.
    var elementType: DType? { get }
    /// Magnitudes from here on would be rounded to infinity.
    var overflowLimit: Float { get }
    /// The word by which a trace tells that weights were rounded so (Formats/trace.md, `weights`).
    var traceWord: String { get }
    /// Whether every value of a source of this type comes back as it was.
    func isExact(for source: DType) -> Bool

    // The planes of a tensor.

    /// What of a shape keeps the scheme from holding a tensor of it, as "whose rows are ..."; nil where nothing does.
    func obstacle(_ shape: Shape) -> String?
    /// The planes in the order in which a file holds them. The first has the extent `rows`, and whole ones depend on no number of rows.
    func planes(for shape: Shape) -> [PlaneSpecification]
    /// The planes of the extent `whole`, which are made before the first row is encoded.
    func wholePlanes(for shape: Shape, _ calibration: Calibration?) throws(MachineError) -> [EncodedTensor]

    // Encoding and decoding, with all planes in their order; whole ones are complete.

    /// Values in the basis in which the scheme rounds them.
    func basis(of values: Tensor, _ planes: [EncodedTensor]) throws(MachineError) -> Tensor
    /// Encodes rows into their places in the planes, on this thread, and gives each row's distance from what was stored.
    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance]
    /// The same of rows in the element type of their source; nil where that has to be widened first.
    func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]?
    func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor

    // Proof.

    /// Decoded values against the worst case that the scheme allows (Formats/schemes.md, "Bound").
    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) throws(MachineError) -> BoundCheck
    /// Encodes a row, given in the scheme's basis, with the noise of honest rounding: up or down at random, where `encode` takes the nearest.
    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding)
    /// What the planes of the extent `rows` hold for a row: Formats/schemes.md written down a second time, in plain loops.
    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane]

    // Arithmetic.

    /// The largest block by which the integer contract turns inputs, 1 where it takes them as they are; nil where it does not cover the scheme.
    var integerTurn: Int? { get }
    /// What the integer contract multiplies each input by before it is turned; nil where by nothing.
    func inputFactors(_ planes: [EncodedTensor]) throws(MachineError) -> Tensor?
    /// The int8 codes `[rows, ...]` and scales `[rows]` that the integer contract multiplies; asked where it covers the scheme.
    func integerRows(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> (codes: EncodedTensor, scales: EncodedTensor)
}

extension SchemeDefinition {
    var elementType: DType? { nil }
    var overflowLimit: Float { .infinity }
    var integerTurn: Int? { nil }
    func inputFactors(_ planes: [EncodedTensor]) throws(MachineError) -> Tensor? { nil }
    func isExact(for source: DType) -> Bool { source == elementType }
    func obstacle(_ shape: Shape) -> String? { nil }
    func wholePlanes(for shape: Shape, _ calibration: Calibration?) throws(MachineError) -> [EncodedTensor] { [] }
    func basis(of values: Tensor, _ planes: [EncodedTensor]) throws(MachineError) -> Tensor { values }
    func encodeStored(_ rows: EncodedTensor, into planes: [EncodedTensor], at row: Int) -> [RowDistance]? { nil }
    func integerRows(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> (codes: EncodedTensor, scales: EncodedTensor) {
        (planes[0], planes[1])
    }
}

/// A plane that a scheme prescribes.
package struct PlaneSpecification: Sendable, CustomStringConvertible {
    /// What of a tensor a plane belongs to.
    package enum Extent: Sendable {
        /// Its first extent counts the tensor's rows: it can be written and read some rows at a time.
        case rows
        /// All rows have it in common.
        case whole
    }

    package let name: String
    let dtype: DType
    let shape: Shape
    package let extent: Extent
    let rule: ValueRule

    /// A plane of packed codes is opaque: `dtype` is U8, and `shape` counts bytes.
    init(_ name: String, _ dtype: DType, _ shape: Shape, _ rule: ValueRule, extent: Extent = .rows) {
        (self.name, self.dtype, self.shape, self.extent, self.rule) = (name, dtype, shape, extent, rule)
    }

    package var byteCount: Int { shape.elementCount * dtype.byteCount }
    /// Bytes for each row of the tensor.
    package var rowByteCount: Int { extent == .rows ? shape.columns * dtype.byteCount : 0 }
    package var description: String { Self.description(name, dtype, shape) }

    static func description(_ name: String, _ dtype: DType, _ shape: Shape) -> String { "\(name) \(dtype.rawValue) \(shape)" }
}

/// What is known of the inputs that a weight will meet.
package struct Calibration: Sendable, Equatable {
    /// Of each input channel, that is each element of a row.
    package let inputMagnitudes: [Float]

    package init(inputMagnitudes: [Float]) { self.inputMagnitudes = inputMagnitudes }
}

/// What one row of a plane has to be.
package struct ReferencePlane {
    /// Bit patterns in the plane's element type; nil where any will do: nobody says the payload of a NaN.
    package let elements: [UInt32?]
    /// How many units in the last place an element may be off.
    package let ulps: UInt32

    init(_ elements: [UInt32?], ulps: UInt32 = 0) { (self.elements, self.ulps) = (elements, ulps) }
}

/// What a runtime does with the input of a quantized linear map.
package enum ActivationScheme: String, Sendable, CaseIterable {
    /// Float32 arithmetic with the decoded weight.
    case float
    /// Symmetric int8 per token, int32 accumulators: the integer contract.
    case int8PerToken = "int8-per-token"
}

/// The tensor, or the run of its rows, that a scheme is at work on.
struct EncodingSubject {
    let name: String
    let firstElement: Int
    let calibration: Calibration?

    func outOfRange(_ index: Int, _ value: some BinaryFloatingPoint, _ scheme: String, limit: String) -> PackedFileError {
        .refused(
            .outOfRange, subject: "tensor \(name), element \(firstElement + index)", expected: "a magnitude that \(scheme) can hold, at most \(limit)",
            found: "\(value)")
    }

    func nonfinite(_ index: Int, _ value: Float) -> PackedFileError {
        .refused(.nonfinite, subject: "tensor \(name), element \(firstElement + index)", expected: "a finite value", found: "\(value)")
    }

    /// The values as float32. A finite float64 must not become an infinity on the way.
    func widened(_ source: EncodedTensor) throws(PackedFileError) -> Tensor {
        let tensor = try wrapping(PackedFileError.machine, try source.widened())
        guard source.dtype == .f64 else { return tensor }
        let values = tensor.span
        let wide = unsafe source.bytes.assumingMemoryBound(to: Double.self)
        for index in values.indices where values[index].isInfinite {
            let value = unsafe wide[index]
            if value.isFinite { throw outOfRange(index, value, "f32", limit: "\(Float.greatestFiniteMagnitude)") }
        }
        return tensor
    }
}

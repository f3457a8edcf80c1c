import Tensors

/// The tensor that a writer is in the middle of.
struct OpenTensor {
    let description: TensorDescription
    let planes: [PlaneSpecification]
    /// Parts of the planes after the first, which wait until that one is complete: a plane is contiguous in the file. Of whole planes they are one.
    private(set) var held: [[EncodedTensor]]
    private var rows = 0
    private var censuses: [ValueCensus]

    init(_ description: TensorDescription, _ planes: [PlaneSpecification]) {
        self.description = description
        self.planes = planes
        held = planes.map { _ in [] }
        censuses = planes.map { ValueCensus($0.rule) }
    }

    /// Checks the parts of all planes for the next rows, and keeps those of the planes after the first.
    mutating func take(_ parts: [EncodedTensor]) throws(PackedFileError) {
        let count = parts.first?.shape.rows ?? 0
        let shape = description.shape.rank == 0 ? description.shape : Shape([count] + description.shape.extents.dropFirst())
        guard description.scheme.matches(parts, shape), rows + count <= description.shape.rows else {
            throw .refused(
                .planeMismatch, subject: "tensor \(description.name), rows from \(rows)",
                expected: "\(description.scheme.planes(for: shape)) within \(description.shape)",
                found: "\(parts.map { "\($0.dtype.rawValue) \($0.shape)" })")
        }
        rows += count
        for (index, part) in parts.enumerated() {
            if planes[index].extent == .whole, let known = held[index].first {
                guard unsafe known.bytes.elementsEqual(part.bytes) else {
                    throw .refused(
                        .planeMismatch, subject: "tensor \(description.name), plane \(planes[index].name)", expected: "one for all rows", found: "another")
                }
                continue
            }
            unsafe censuses[index].examine(part.bytes)
            if index > 0 { held[index].append(part) }
        }
    }

    func checkComplete() throws(PackedFileError) {
        guard rows == description.shape.rows else {
            throw .refused(.planeMismatch, subject: "tensor \(description.name)", expected: "\(description.shape.rows) rows", found: "\(rows)")
        }
    }

    /// The number of NaNs and infinities, which has to be 0 unless they are allowed; other broken rules are never allowed.
    func nonfinite(allowed: Bool) throws(PackedFileError) -> Int {
        for (plane, census) in zip(planes, censuses) where census.violations > 0 {
            let place = "tensor \(description.name), plane \(plane.name), element \(census.first ?? 0)"
            guard plane.rule.allowsStated else {
                throw .refused(.planeValues, subject: place, expected: "values \(plane.rule.name)", found: "\(census.violations) others")
            }
            guard allowed else {
                throw .refused(.nonfinite, subject: place, expected: "finite values", found: "\(census.violations) NaNs or infinities")
            }
        }
        return zip(planes, censuses).reduce(0) { $0 + ($1.0.rule.allowsStated ? $1.1.violations : 0) }
    }
}

import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// P2: the codes and scales of the file are those of the formulas of Formats/schemes.md, written down a second time.
struct QuantizerRung: LadderRung {
    private(set) var outcome = Outcome()
    /// Rows of each tensor that are encoded again.
    private static let mostRows = 256

    init(_ file: PackedFile, _ weights: CheckpointWeights) throws {
        var (held, all, rows) = (0, 0, 0)
        var worst: UInt32 = 0
        // The weights are served in float32: what stores that as it is has no formulas.
        for entry in file.directory.tensors where !entry.scheme.isExact(for: .f32) && weights.contains(entry.name) {
            all += 1
            let step = max(1, entry.shape.rows / Self.mostRows)
            let indices = Array(stride(from: 0, to: entry.shape.rows, by: step))
            let planes: [EncodedTensor]
            do throws(PackedFileError) { planes = try file.planes(of: entry, rows: indices) } catch {
                outcome.findings.append(Finding(subject: entry.name, what: "codes and scales", expected: "planes that can be read", found: "\(error)"))
                continue
            }
            let source = try weights.rows(indices, of: entry.name).widened()
            rows += indices.count
            let columns = source.columns
            let kinds = zip(planes, entry.scheme.planes(for: source.shape))
            let (own, whole) = (kinds.filter { $1.extent == .rows }.map(\.0), kinds.filter { $1.extent == .whole }.map(\.0))
            var isRight = true
            for row in indices.indices {
                let values = (0..<columns).map { source.span[row * columns + $0] }
                let expected = entry.scheme.reference(values, whole: whole)
                isRight = isRight && expected.count == own.count
                for (plane, expected) in zip(own, expected) {
                    let gap = Self.gap(expected, plane, row)
                    if expected.ulps > 0 { worst = max(worst, gap) }
                    isRight = isRight && gap <= expected.ulps
                }
            }
            if isRight {
                held += 1
            } else {
                outcome.findings.append(
                    Finding(subject: entry.name, what: "codes and scales", expected: "those of the formulas of \(entry.scheme)", found: "others"))
            }
        }
        outcome.rungs.append(
            Rung(
                id: "P2", claim: "codes and scales are those of an independent formula",
                measure: "\(held) of \(all) tensors, \(rows) rows; scales within \(worst) ulp",
                gate: "codes identical, scales <= 1 ulp", margin: held == all ? "exact" : "none", passed: held == all,
                reason: "Formats/schemes.md written down a second time, in plain loops"))
    }

    /// How far a row of a plane is from what it has to be: units in the last place, or the difference of codes as numbers without a sign.
    private static func gap(_ expected: ReferencePlane, _ plane: EncodedTensor, _ row: Int) -> UInt32 {
        let (count, size) = (plane.shape.columns, plane.dtype.byteCount)
        guard expected.elements.count == count, size <= MemoryLayout<UInt32>.size else { return .max }
        let bytes = plane.contents
        var most: UInt32 = 0
        for (index, wanted) in expected.elements.enumerated() {
            guard let wanted else { continue }
            var found: UInt32 = 0
            for byte in 0..<size { found |= UInt32(bytes[(row * count + index) * size + byte]) << UInt32(8 * byte) }
            most = max(most, max(found, wanted) - min(found, wanted))
        }
        return most
    }
}

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
        for entry in file.directory.tensors where entry.scheme != .f32 && weights.contains(entry.name) && entry.shape.elementCount <= 1 << 26 {
            guard case .plain(let stored) = try weights.weight(entry.name), let planes = try? file.planes(of: entry) else { continue }
            let source = try stored.widened()
            all += 1
            let columns = source.columns
            let step = max(1, source.rows / Self.mostRows)
            var isRight = true
            for row in stride(from: 0, to: source.rows, by: step) {
                rows += 1
                let values = (0..<columns).map { source.span[row * columns + $0] }
                if entry.scheme == .int8PerChannel || entry.scheme == .int8Rotated {
                    let (codes, scale) = Self.int8(entry.scheme == .int8Rotated ? Self.rotated(values) : values)
                    let gap = Self.ulps(scale, planes[1], row)
                    worst = max(worst, gap)
                    isRight = isRight && gap <= 1 && Self.equal(codes, planes[0], at: row * columns)
                } else {
                    isRight = isRight && Self.equal(values, planes[0], at: row * columns, isHalf: entry.scheme == .f16)
                }
            }
            if isRight {
                held += 1
            } else {
                outcome.findings.append(
                    Finding(subject: entry.name, what: "codes and scales", expected: "those of the formulas of \(entry.scheme.rawValue)", found: "others"))
            }
        }
        outcome.rungs.append(
            Rung(
                id: "P2", claim: "codes and scales are those of an independent formula",
                measure: "\(held) of \(all) tensors, \(rows) rows; scales within \(worst) ulp",
                gate: "codes identical, scales <= 1 ulp", margin: held == all ? "exact" : "none", passed: held == all,
                reason: "Formats/schemes.md written down a second time, in plain loops"))
    }

    private static func int8(_ values: [Float]) -> (codes: [Int8], scale: Float) {
        let largest = values.reduce(0) { max($0, $1.magnitude) }
        let scale = largest / 127 == 0 ? 1 : largest / 127
        return (values.map { Int8(min(127, max(-127, ($0 / scale).rounded(.toNearestOrEven)))) }, scale)
    }

    /// Blocks of 32 times the Hadamard matrix: five times sums of pairs before their differences, which deals the elements out as often.
    private static func rotated(_ values: [Float]) -> [Float] {
        var result = values
        for start in stride(from: 0, to: values.count, by: 32) {
            for step in [1, 2, 4, 8, 16] {
                for index in start..<start + 32 where (index - start) & step == 0 {
                    let (left, right) = (result[index], result[index + step])
                    (result[index], result[index + step]) = (left + right, left - right)
                }
            }
            for index in start..<start + 32 { result[index] *= Float(0.5).squareRoot() / 4 }
        }
        return result
    }

    private static func ulps(_ scale: Float, _ scales: EncodedTensor, _ row: Int) -> UInt32 {
        let stored = unsafe scales.bytes.assumingMemoryBound(to: Float.self)[row].bitPattern
        return max(stored, scale.bitPattern) - min(stored, scale.bitPattern)
    }

    private static func equal(_ codes: [Int8], _ plane: EncodedTensor, at start: Int) -> Bool {
        let stored = unsafe plane.bytes.assumingMemoryBound(to: Int8.self)
        return codes.indices.allSatisfy { unsafe stored[start + $0] == codes[$0] }
    }

    private static func equal(_ values: [Float], _ plane: EncodedTensor, at start: Int, isHalf: Bool) -> Bool {
        let stored = unsafe plane.bytes.assumingMemoryBound(to: UInt16.self)
        return values.indices.allSatisfy { index in
            let value = values[index]
            // The payload of a NaN is kept bit by bit, which no formula of values says.
            if value.isNaN { return true }
            let bits = isHalf ? Float16(value).bitPattern : UInt16(truncatingIfNeeded: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16)
            return unsafe stored[start + index] == bits
        }
    }
}

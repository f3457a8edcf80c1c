import Conversion
import PackedFiles
import Parity
import Tensors
import Testing

/// A mistake planted in a packed file whose checksums are all right again.
struct PackedDefect: Sendable, CustomTestStringConvertible {
    let name: String
    let preset: Preset
    /// The tensor, or the small file, that is wrong.
    let subject: String
    let cause: Cause.Kind
    let damage: Damage
    /// Whether the file's linears are chosen by a calibration, of weights alone.
    var isBalanced = false

    var testDescription: String { name }

    /// Whether tensors are damaged and not what they are judged by.
    var isOfTensor: Bool { if case .blob = damage { false } else { true } }

    enum Damage: Sendable {
        /// Changes the values of the tensor, which are encoded again.
        case values(@Sendable (inout Matrix) -> Void)
        /// Changes the planes as they are stored.
        case planes(@Sendable ([EncodedTensor]) throws -> [EncodedTensor])
        /// Another tensor's planes.
        case tensor(String)
        case blob(@Sendable (String) -> String)
    }

    init(_ name: String, _ preset: Preset, isBalanced: Bool = false, _ subject: String, _ cause: Cause.Kind, _ damage: Damage) {
        (self.name, self.preset, self.subject, self.cause, self.damage, self.isBalanced) = (name, preset, subject, cause, damage, isBalanced)
    }
}

/// The values of a tensor as rows and columns, with the moves that go wrong in converters.
struct Matrix: Sendable {
    var values: [Float]
    let shape: Shape
    var rows: Int { shape.rows }
    var columns: Int { shape.columns }

    /// Row `row` becomes what row `source(row)` was.
    mutating func reorderRows(_ source: (Int) -> Int) {
        let old = values
        for row in 0..<rows { for column in 0..<columns { values[row * columns + column] = old[source(row) * columns + column] } }
    }

    mutating func reorderColumns(_ source: (Int) -> Int) {
        let old = values
        for row in 0..<rows { for column in 0..<columns { values[row * columns + column] = old[row * columns + source(column)] } }
    }

    mutating func scale(rows range: Range<Int>, by factor: Float) {
        for index in range.lowerBound * columns..<range.upperBound * columns { values[index] *= factor }
    }

    mutating func transposeSquare() {
        let old = values
        for row in 0..<rows { for column in 0..<columns { values[row * columns + column] = old[column * rows + row] } }
    }

    /// `[out, kh, kw, in]` written as `[out, in, kh, kw]` under the same shape.
    mutating func channelsFirst() {
        let old = values
        let (area, inputs) = (shape[1] * shape[2], shape[3])
        for output in 0..<rows {
            for tap in 0..<area { for input in 0..<inputs { values[(output * inputs + input) * area + tap] = old[(output * area + tap) * inputs + input] } }
        }
    }

    /// Kernels turned by half a turn.
    mutating func turnKernels() {
        let old = values
        let (area, inputs) = (shape[1] * shape[2], shape[3])
        for output in 0..<rows {
            for tap in 0..<area {
                for input in 0..<inputs { values[(output * area + tap) * inputs + input] = old[(output * area + area - 1 - tap) * inputs + input] }
            }
        }
    }

    /// Two tiles of 16 x 32 exchanged.
    mutating func exchangeTiles() {
        for row in 0..<16 { for column in 0..<32 { values.swapAt(row * columns + column, (row + 16) * columns + column + 32) } }
    }
}

extension ProofFixture {
    /// tiny-sprint's file with defects, each of another tensor of the same file, written to `path`.
    static func plant(_ defects: PackedDefects.Group, to path: String) throws -> PackedFile {
        let file = try defects.isBalanced ? (defects.preset == .compact ? balancedFourBits : balanced).get() : file(defects.preset)
        return try rewrite(
            file, to: path,
            plane: { entry, planes in
                guard let defect = defects.all.first(where: { $0.subject == entry.name }) else { return }
                switch defect.damage {
                case .values(let change):
                    var matrix = Matrix(values: try entry.scheme.decode(planes, shape: entry.shape).elements, shape: entry.shape)
                    change(&matrix)
                    planes = try entry.scheme.allocate(entry.shape, whole: entry.scheme.wholePlanes(of: planes, shape: entry.shape))
                    _ = try entry.scheme.encode(Tensor(entry.shape, matrix.values), into: planes, at: 0, subject: entry.name)
                case .planes(let change): planes = try change(planes)
                case .tensor(let name): planes = try file.planes(of: file.entry(name) ?? entry)
                case .blob: break
                }
            },
            blob: { name, bytes in
                guard let defect = defects.all.first(where: { $0.subject == name }), case .blob(let change) = defect.damage else { return }
                bytes = Array(change(String(decoding: bytes, as: UTF8.self)).utf8)
            })
    }

    /// A copy of a 16-bit or 32-bit tensor with its elements' bits changed.
    static func bits(_ tensor: EncodedTensor, _ change: (UInt16) -> UInt16) throws -> EncodedTensor {
        let copy = try copy(tensor)
        unsafe copy.buffer.mutableBytes.withMemoryRebound(to: UInt16.self) { words in
            for index in words.indices { unsafe words[index] = change(words[index]) }
        }
        return copy
    }
}

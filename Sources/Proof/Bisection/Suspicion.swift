import Inference
import Parity
import StrictJSON
import Tensors

/// One mistake that may have been made: what it is called, and how to make it.
struct Suspicion: Sendable {
    typealias Edit = @Sendable (Tensor) throws(MachineError) -> Tensor

    let kind: Cause.Kind
    let text: String
    /// Weights to change before they are used.
    var edits: [String: Edit] = [:]
    /// Weights to take from elsewhere: name prefixes, and what to put in their place.
    var replacements: [(prefix: String, with: String)] = []
    var configuration: [(folder: String, key: String, value: JSONValue)] = []
    var deviations = Deviations.none
    var slip = Slip.none

    init(_ kind: Cause.Kind, _ text: String, edits: [String: Edit] = [:]) {
        self.kind = kind
        self.text = text
        self.edits = edits
    }

    init(_ kind: Cause.Kind, _ text: String, replacing prefix: String, with other: String) {
        self.init(kind, text)
        replacements = [(prefix, other)]
    }

    init(_ kind: Cause.Kind, _ text: String, _ folder: String, _ members: [(String, JSONValue)]) {
        self.init(kind, text)
        configuration = members.map { (folder, $0.0, $0.1) }
    }

    init(_ kind: Cause.Kind, _ text: String, deviations: Deviations) {
        self.init(kind, text)
        self.deviations = deviations
    }

    init(_ kind: Cause.Kind, _ text: String, slip: (inout Slip) -> Void) {
        self.init(kind, text)
        self.slip = Slip(slip)
    }

    func replaced(_ name: String) -> String {
        for (prefix, other) in replacements where name.hasPrefix(prefix) { return other + name.dropFirst(prefix.count) }
        return name
    }
}

/// Edits that suspicions are made of.
enum WeightEdit {
    static let zero: Suspicion.Edit = { (x) throws(MachineError) in try Tensor(x.shape) }

    static func add(_ value: Float) -> Suspicion.Edit { { (x) throws(MachineError) in try x.map { $0 + Double(value) } } }

    static func fill(_ value: Float) -> Suspicion.Edit { { (x) throws(MachineError) in try x.map { _ in Double(value) } } }

    /// Rows in another order: row i becomes row `order(i, rows)`.
    static func rows(_ order: @escaping @Sendable (Int, Int) -> Int) -> Suspicion.Edit {
        { (x) throws(MachineError) in try x.rows((0..<x.rows).map { order($0, x.rows) }) }
    }

    static func columns(_ order: @escaping @Sendable (Int, Int) -> Int) -> Suspicion.Edit {
        { (x) throws(MachineError) in
            try x.transposed().rows((0..<x.columns).map { order($0, x.columns) }).transposed().reshaped(x.shape)
        }
    }

    /// Some rows of the weight, a square, transposed.
    static func transposed(_ range: Range<Int>) -> Suspicion.Edit {
        { (x) throws(MachineError) in
            guard range.count == x.columns, range.upperBound <= x.rows else { return x }
            let part = try x.rows(range).transposed()
            var result = try x.copy()
            let (source, columns) = (part.span, x.columns)
            var target = result.mutableSpan
            for index in 0..<part.count { target[range.lowerBound * columns + index] = source[index] }
            return result
        }
    }

    /// Some rows zero.
    static func zeroed(_ range: Range<Int>) -> Suspicion.Edit {
        { (x) throws(MachineError) in
            var result = try x.copy()
            let columns = x.columns
            var target = result.mutableSpan
            for index in range.lowerBound * columns..<min(range.upperBound, x.rows) * columns { target[index] = 0 }
            return result
        }
    }

    static func zeroedColumns(from first: Int) -> Suspicion.Edit {
        { (x) throws(MachineError) in
            var result = try x.copy()
            let columns = x.columns
            var target = result.mutableSpan
            for index in target.indices where index % columns >= first { target[index] = 0 }
            return result
        }
    }

    static let exchangedHalves = rows { row, count in (row + count / 2) % count }

    /// Kernels `[out, kh, kw, in]` or `[channels, kh, kw]` turned by half a turn.
    static let turnedKernels: Suspicion.Edit = { (x) throws(MachineError) in
        let (area, inputs) = (x.shape[1] * x.shape[2], x.shape.rank > 3 ? x.shape[3] : 1)
        return try taps(x) { output, tap, input in (output * area + area - 1 - tap) * inputs + input }
    }

    /// Rows and columns of the kernels exchanged.
    static let transposedKernels: Suspicion.Edit = { (x) throws(MachineError) in
        let (side, inputs) = (x.shape[1], x.shape.rank > 3 ? x.shape[3] : 1)
        guard side == x.shape[2] else { return x }
        return try taps(x) { output, tap, input in (output * side * side + tap % side * side + tap / side) * inputs + input }
    }

    /// Weights `[out, in, kh, kw]` read as `[out, kh, kw, in]`.
    static let channelsFirst: Suspicion.Edit = { (x) throws(MachineError) in
        let (area, inputs) = (x.shape[1] * x.shape[2], x.shape.rank > 3 ? x.shape[3] : 1)
        // Element (tap, input) of the right weight lies at (input, tap) of the source.
        var result = try Tensor(x.shape, zeroed: false)
        let source = x.span
        var target = result.mutableSpan
        for output in 0..<x.rows {
            for tap in 0..<area { for input in 0..<inputs { target[(output * inputs + input) * area + tap] = source[(output * area + tap) * inputs + input] } }
        }
        return result
    }

    private static func taps(_ x: Tensor, _ place: (Int, Int, Int) -> Int) throws(MachineError) -> Tensor {
        let (area, inputs) = (x.shape[1] * x.shape[2], x.shape.rank > 3 ? x.shape[3] : 1)
        var result = try Tensor(x.shape, zeroed: false)
        let source = x.span
        var target = result.mutableSpan
        for output in 0..<x.rows {
            for tap in 0..<area { for input in 0..<inputs { target[(output * area + tap) * inputs + input] = source[place(output, tap, input)] } }
        }
        return result
    }
}

import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// P3, on another executor: a few rows of fixed codes times every weight as it lies there, against the CPU; and one weight of each shape at the model's own size.
///
/// Every element of a weight is in the products: one that is not what the file holds shows.
struct DeviceProducts<E: Executor> {
    private(set) var outcome = Outcome()
    private let cpu: CPU
    private let executor: E
    private var (integers, floats, large) = (Tally(), Tally(), Tally())

    /// Rows, and sides of a map, that every weight is multiplied by.
    private static var rows: Int { 16 }
    private static var height: Int { 4 }
    private static var width: Int { 3 }
    /// Relative L2 of each output of a weight that is multiplied in floats: sums in another order. One changed bit of 8 or 16 costs more.
    private static var limit: Double { 1e-5 }

    private struct Tally {
        var held = 0
        var all = 0
    }

    /// - Parameter name: of the executor.
    init(_ weights: PackedWeights, _ size: OwnSize, on executor: E, named name: String, against cpu: CPU, progress: (String) -> Void) throws {
        (self.cpu, self.executor) = (cpu, executor)
        var seen: Set<String> = []
        for summary in weights.summaries {
            guard let kind = summary.kind(), Self.isMultiplied(kind) else { continue }
            progress(summary.name)
            var stored = try weights.weight(summary.name)
            stored.name = summary.name
            let inputs = stored.shape.columns / (Self.isConvolution(kind) ? 9 : 1)
            let few = Self.isConvolution(kind) ? Shape([Self.height, Self.width, inputs]) : [Self.rows, inputs]
            let finding = try compare(summary.name, stored, kind, few)
            let tally = stored.form.multipliesIntegers ? \Self.integers : \Self.floats
            self[keyPath: tally].all += 1
            guard finding == nil else {
                finding.map { outcome.findings.append($0) }
                continue
            }
            self[keyPath: tally].held += 1
            // What is multiplied in the same way counts once.
            guard seen.insert("\(stored.shape) \(stored.form)").inserted else { continue }
            large.all += 1
            let own = Self.isConvolution(kind) ? Shape([Self.height, size.columns(of: summary.name), inputs]) : [size.rows(of: summary.name), inputs]
            if let finding = try compare(summary.name, stored, kind, own) { outcome.findings.append(finding) } else { large.held += 1 }
        }
        add("integer products by each weight, as it lies on \(name), are the CPU's bit for bit", integers, "weights", "sums of integers are exact or wrong")
        add(
            "float products by each weight, as it lies on \(name), are the CPU's within rounding", floats, "weights",
            "relative L2 \(Decimal.short(Self.limit)) of each output: sums in another order; one changed bit of a weight costs more")
        add(
            "products at the model's own size on \(name) are the CPU's, as those of a few rows are", large, "shapes, in rows of tokens or bands of the picture",
            "kernels are chosen by size")
    }

    private mutating func add(_ claim: String, _ tally: Tally, _ unit: String, _ reason: String) {
        guard tally.all > 0 else { return }
        outcome.add("P3", claim, held: tally.held, of: tally.all, unit: unit, reason: reason)
    }

    private static func isConvolution(_ kind: LayerKind) -> Bool { if case .convolution = kind { true } else { false } }
    private static func isMultiplied(_ kind: LayerKind) -> Bool { if case .linear = kind { true } else { isConvolution(kind) } }

    /// What is off first; nil where nothing is.
    private func compare(_ name: String, _ stored: StoredWeight, _ kind: LayerKind, _ shape: Shape) throws -> Finding? {
        let x = try Self.codes(shape)
        let (expected, found) = (try Self.products(stored, kind, x, on: cpu), try Self.products(stored, kind, x, on: executor))
        for (what, (expected, found)) in zip(["plain", "stride 2", "doubled"], zip(expected, found)) {
            let place = stored.form.multipliesIntegers ? Self.firstOther(expected, found) : Self.furthest(expected, found)
            guard let place else { continue }
            let outputs = stored.shape.rows
            let kind = Self.isConvolution(kind) ? "convolution, \(what), of a map \(shape), pixel" : "product of \(shape), row"
            return Finding(
                subject: name, what: "\(kind) \(place / outputs), channel \(place % outputs)", expected: "\(expected.span[place]), as on the CPU",
                found: "\(found.span[place])",
                hint: "the weight is not there as the file holds it, or a kernel is wrong: run again; if it stays so, compute on the CPU and report it")
        }
        return nil
    }

    private static func products<X: Executor>(_ stored: StoredWeight, _ kind: LayerKind, _ x: Tensor, on executor: X) throws(MachineError) -> [Tensor] {
        let rows = try executor.rows(from: x)
        guard isConvolution(kind) else {
            let linear = try executor.linear(stored, 0..<stored.shape.rows, bias: nil, compute: .float32)
            return [try executor.tensor(from: try executor.multiply(rows, by: linear))]
        }
        let convolution = try executor.convolution(stored, bias: nil, often: false)
        let ways: [RowOperation<X>] = [.convolution(convolution), .convolution(convolution, step: 2), .doubling(convolution, shortcut: false)]
        return try ways.map { way throws(MachineError) in try executor.tensor(from: try executor.run([way], on: rows)) }
    }

    /// Whole numbers of which one in each row of channels is the largest, times a power of two: quantizing leaves them as they are.
    private static func codes(_ shape: Shape) throws(MachineError) -> Tensor {
        let channels = shape[shape.rank - 1]
        var bits: UInt32 = 7
        return try Tensor(
            shape,
            (0..<shape.elementCount).map { index in
                bits = bits &* 1_664_525 &+ 1_013_904_223
                let (row, channel) = (index / channels, index % channels)
                return Float((channel == row % channels ? 127 : Int(bits >> 24) % 255 - 127) << (row % 3))
            })
    }

    /// The first element that is not equal.
    private static func firstOther(_ expected: Tensor, _ found: Tensor) -> Int? {
        expected.span.indices.first { expected.span[$0] != found.span[$0] && !(expected.span[$0].isNaN && found.span[$0].isNaN) }
    }

    /// The furthest element of an output that is off by more than rounding.
    private static func furthest(_ expected: Tensor, _ found: Tensor) -> Int? {
        let outputs = expected.shape[expected.shape.rank - 1]
        var (squares, differences) = ([Double](repeating: 0, count: outputs), [Double](repeating: 0, count: outputs))
        func difference(_ index: Int) -> Double { Double(expected.span[index]) - Double(found.span[index]) }
        for index in expected.span.indices {
            squares[index % outputs] += Double(expected.span[index]) * Double(expected.span[index])
            differences[index % outputs] += difference(index) * difference(index)
        }
        guard let output = squares.indices.first(where: { !(differences[$0] <= limit * limit * squares[$0]) }) else { return nil }
        return stride(from: output, to: expected.count, by: outputs).max { abs(difference($0)) < abs(difference($1)) }
    }
}

/// How large a model's own picture is, layer by layer.
struct OwnSize {
    /// Of the transformer, a prompt of the greatest length, and pixels on a side.
    let (tokens, words, pixels): (Int, Int, Int)

    init(_ c: SanaSprintConfiguration) {
        let side = c.transformer.sampleSize / c.transformer.patch
        (tokens, words) = (side * side, SanaSprintPrompt.defaultMaximumLength)
        pixels = c.transformer.sampleSize * (c.vae?.compression ?? 1)
    }

    func rows(of weight: String) -> Int { weight.hasPrefix("text.") ? words : tokens }

    /// Of the map that a convolution takes.
    func columns(of weight: String) -> Int {
        let parts = weight.split(separator: ".")
        guard let at = parts.firstIndex(of: "stage"), at + 2 < parts.count, let stage = Int(parts[at + 1]) else { return pixels }
        return max(1, pixels >> (parts[at + 2] == "up" ? stage + 1 : stage))
    }
}

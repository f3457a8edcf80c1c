import Operations
import PackedFiles
import Tensors

/// What ways of storing a linear cost its product.
///
/// Of the weight some rows are read, and multiplied with the rows of the statistics in integers and in double. Integers are the same on every
/// instruction set and sums of doubles are in one order, so that equal statistics give equal choices everywhere.
struct MeasuredChoices {
    let weight: SampledWeight
    let product: MeasuredProduct
    private let columns: [Double]
    private let squares: [Double]

    /// Nil where nothing can be said: without samples, or where something is not finite, which is the conversion's to refuse.
    /// - Throws: `.statistics` where they are of another model.
    init?(_ name: String, _ weights: CalibratedWeights, _ layer: InputStatistics.Layer, on executor: CPU) throws(ConversionError) {
        weight = try weights.sampled(name)
        guard weight.columns == layer.squares.count, weight.digest == layer.weightDigest else {
            throw .statistics("\(name): expected statistics of this checkpoint's weight, found those of another model: calibrate this checkpoint")
        }
        (columns, squares) = (weight.columnPowers, layer.squares)
        guard !layer.samples.isEmpty, squares.allSatisfy(\.isFinite), columns.allSatisfy(\.isFinite) else { return nil }
        let (weight, samples) = (weight, layer.samples)
        product = try wrapping(ConversionError.machine, try MeasuredProduct(name, weight, samples, on: executor))
    }

    /// The choice that costs least with products of integers: rows as they are, turned, or balanced and turned.
    func best(_ rounding: LayerChoices.Rounding) throws(ConversionError) -> LayerChoices.Choice {
        let turned = Storage(rounding.balanced, activations: .int8PerToken)
        var candidates = [LayerChoices.Choice(storage: Storage(rounding.plain, activations: .int8PerToken)), LayerChoices.Choice(storage: turned)]
        for share in LayerChoices.shares {
            candidates.append(LayerChoices.Choice(storage: turned, magnitudes: LayerChoices.magnitudes(inputs: squares, columns: columns, share: share)))
        }
        return try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
            var best = candidates[0]
            for candidate in candidates {
                let error = try product.error(candidate.storage, candidate.magnitudes)
                if error < (best.error ?? .infinity) * LayerChoices.advantage {
                    best = LayerChoices.Choice(storage: candidate.storage, magnitudes: candidate.magnitudes, error: error)
                }
            }
            return best
        }
    }
}

/// Rows of a weight times inputs that it met: in double, to measure other storages by.
struct MeasuredProduct {
    private let name: String
    private let weight: SampledWeight
    private let inputs: Tensor
    private let products: Tensor
    private let executor: CPU

    init(_ name: String, _ weight: SampledWeight, _ samples: [InputStatistics.Sample], on executor: CPU) throws(MachineError) {
        (self.name, self.weight, self.executor) = (name, weight, executor)
        let elements = samples.flatMap { $0.values.map { Float(bitPattern: UInt32($0) << 16) } }
        inputs = try Tensor([samples.count, weight.columns], elements)
        products = try Self.products(try Linear(.plain(EncodedTensor(weight.values)), on: executor), inputs)
    }

    /// The same everywhere: a single row is multiplied in double, in one order.
    private static func products(_ linear: Linear, _ inputs: Tensor) throws(MachineError) -> Tensor {
        var rows: [Tensor] = []
        for index in 0..<inputs.rows { rows.append(try linear(try inputs.rows(index..<index + 1))) }
        return try Tensor(stacking: rows)
    }

    /// The power of what a storage adds to the products, as a share of theirs.
    func error(_ storage: Storage, _ magnitudes: [Float] = []) throws(PackedFileError) -> Double {
        let calibration = magnitudes.isEmpty ? nil : Calibration(inputMagnitudes: magnitudes)
        let shape = weight.values.shape
        let planes = try storage.scheme.encode(weight.values, subject: name, calibration: calibration)
        do throws(MachineError) {
            let stored = StoredWeight(storage.scheme, shape, planes: planes, activations: storage.activations ?? .float)
            let linear = try Linear(stored, on: executor)
            let found = stored.activations == .float ? try Self.products(linear, inputs) : try linear(inputs)
            var errors = [Double](repeating: 0, count: shape.rows)
            var powers = errors
            let (left, right) = (found.span, products.span)
            for index in right.indices {
                let (exact, difference) = (Double(right[index]), Double(left[index]) - Double(right[index]))
                errors[index % shape.rows] += difference * difference
                powers[index % shape.rows] += exact * exact
            }
            func share(_ error: Double, _ power: Double) -> Double { power > 0 ? error / power : 0 }
            guard weight.rowsAreRelative else { return share(errors.reduce(0, +), powers.reduce(0, +)) }
            return zip(errors, powers).reduce(0) { $0 + share($1.0, $1.1) } / Double(shape.rows)
        } catch { throw .machine(error) }
    }
}

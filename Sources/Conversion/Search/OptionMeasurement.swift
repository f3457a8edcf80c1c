import Inference
import Operations
import PackedFiles
import Tensors

/// Measures what parts of a model cost in several storages: bytes in the file, and what they do to velocities.
struct OptionMeasurement {
    private let plan: ConversionPlan
    private let statistics: InputStatistics
    private let impacts: Impacts
    private let weights: CalibratedWeights
    private let tensors: [String: PlannedTensor]
    private let executor: CPU

    init(_ plan: ConversionPlan, _ statistics: InputStatistics, _ impacts: Impacts, on executor: CPU) throws(ConversionError) {
        (self.plan, self.statistics, self.impacts, self.executor) = (plan, statistics, impacts, executor)
        weights = try CalibratedWeights(plan)
        tensors = Dictionary(uniqueKeysWithValues: plan.tensors.map { ($0.name, $0) })
    }

    /// What a linear is stored as that no search decides about.
    func usual(_ name: String) throws(ConversionError) -> LayerChoices.Choice {
        guard let layer = statistics.layers[name] else { throw LayerChoices.missing(name) }
        return try LayerChoices.choose(name, weights, layer, on: executor)
    }

    /// A linear of the transformer in 16 bits, and in 8 and 4 where those keep its product.
    func linear(_ name: String) throws(ConversionError) -> [PolicySearch.Option] {
        guard let layer = statistics.layers[name] else { throw LayerChoices.missing(name) }
        let kept = weights.keptStorage(name)
        guard let measured = try MeasuredChoices(name, weights, layer, on: executor), let shape = tensors[name]?.row.shape else {
            let usual = LayerChoices.Choice(storage: weights.usualStorage(name))
            return [try option(name, [name: usual], loss: 0)]
        }
        func error(_ storage: Storage) throws(ConversionError) -> Double {
            try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in try measured.product.error(storage) }
        }
        let rough = try error(Storage(Impacts.scheme(shape), activations: .float))
        var choices = [LayerChoices.Choice(storage: kept, error: try error(kept)), try measured.best(.eightBits)]
        if LayerChoices.Rounding.fourBits.holds(shape) { choices.append(try measured.best(.fourBits)) }
        var options: [PolicySearch.Option] = []
        for (index, choice) in choices.enumerated() {
            // A number that is not finite keeps nothing.
            guard let error = choice.error, index == 0 || error <= LayerChoices.budget else { continue }
            options.append(try option(name, [name: choice], loss: rough > 0 ? error / rough : 0))
        }
        return options
    }

    /// A layer of the text encoder in 16, 8 and 4 bits: weights alone are rounded, so that their own error says what the product's is.
    func text(_ unit: String, _ names: [String]) throws(ConversionError) -> [PolicySearch.Option] {
        let kept = names.map { weights.keptStorage($0) }
        var ways = [kept]
        for rounding in [LayerChoices.Rounding.eightBits, .fourBits] {
            guard names.allSatisfy({ tensors[$0].map { rounding.plain.holds($0.row.shape) } ?? false }) else { continue }
            ways.append(names.map { _ in Storage(rounding.plain, activations: .float) })
        }
        let rough = try names.map { name throws(ConversionError) in
            try weightError(name, Impacts.scheme(tensors[name]?.row.shape ?? [0, 0]))
        }
        return try ways.map { way throws(ConversionError) in
            var ratio = 0.0
            for (index, storage) in way.enumerated() where rough[index] > 0 {
                ratio += try weightError(names[index], storage.scheme) / rough[index] / Double(names.count)
            }
            return try option(unit, Dictionary(uniqueKeysWithValues: zip(names, way.map { LayerChoices.Choice(storage: $0) })), loss: ratio)
        }
    }

    private func option(_ unit: String, _ choices: [String: LayerChoices.Choice], loss ratio: Double) throws(ConversionError) -> PolicySearch.Option {
        var sum = 0.0
        for (name, choice) in choices.sorted(by: { $0.key < $1.key }) { sum += try bytes(name, choice.storage, choice.calibration) }
        return PolicySearch.Option(choices: choices, option: Allocation.Option(bytes: sum, loss: (impacts.errors[unit] ?? []).map { $0 * ratio }))
    }

    /// The power of what a scheme rounds away of some rows, as a share of theirs.
    private func weightError(_ name: String, _ scheme: Scheme) throws(ConversionError) -> Double {
        let values = try weights.sampled(name).values
        let decoded = try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
            let planes = try scheme.encode(values, subject: name)
            return try wrapping(PackedFileError.memory, try scheme.decode(planes, shape: values.shape))
        }
        var (lost, power) = (0.0, 0.0)
        let (left, right) = (decoded.span, values.span)
        for index in right.indices {
            let difference = Double(left[index]) - Double(right[index])
            lost += difference * difference
            power += Double(right[index]) * Double(right[index])
        }
        return power > 0 ? lost / power : 0
    }

    // MARK: - Bytes

    /// What a tensor will take in the file, going by some of its rows.
    func bytes(_ name: String, _ storage: Storage, _ calibration: Calibration?) throws(ConversionError) -> Double {
        guard let tensor = tensors[name] else { return 0 }
        guard !tensor.isComputed, tensor.row.shape.rank > 0 else { return Double(storage.scheme.byteCount(tensor.row.shape)) }
        let values = try weights.sampled(name).values
        let share = Double(tensor.row.shape.rows) / Double(max(1, values.rows))
        let (scheme, specifications) = (storage.scheme, storage.scheme.planes(for: values.shape))
        return try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
            let planes = try scheme.encode(values, subject: name, calibration: calibration)
            return try wrapping(PackedFileError.memory) { () throws(AllocationError) in
                var sum = 0.0
                for (plane, specification) in zip(planes, specifications) {
                    sum += Double(try PlaneEntry.storedByteCount(of: plane)) * (specification.extent == .rows ? share : 1)
                }
                return sum
            }
        }
    }

    func bytes(_ blob: [UInt8]) throws(ConversionError) -> Double {
        try wrapping(ConversionError.memory) { () throws(AllocationError) in
            Double(try PlaneEntry.storedByteCount(of: try EncodedTensor(dtype: .u8, shape: [blob.count], copying: blob)))
        }
    }
}

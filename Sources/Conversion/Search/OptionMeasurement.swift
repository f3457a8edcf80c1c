import Inference
import Operations
import PackedFiles
import Tensors

/// Measures what parts of a model cost in several storages: bytes in the file, and what they do to velocities.
struct OptionMeasurement {
    private let statistics: InputStatistics
    private let impacts: Impacts
    private let weights: CalibratedWeights
    private let executor: CPU

    init(_ plan: ConversionPlan, _ statistics: InputStatistics, _ impacts: Impacts, on executor: CPU) throws(ConversionError) {
        (self.statistics, self.impacts, self.executor) = (statistics, impacts, executor)
        weights = try CalibratedWeights(plan)
    }

    /// What a linear is stored as that no search decides about.
    func usual(_ name: String) throws(ConversionError) -> LayerChoices.Choice {
        guard let layer = statistics.layers[name] else { throw LayerChoices.missing(name) }
        return try LayerChoices.choose(name, weights, layer, on: executor)
    }

    /// A linear of the transformer in 16 bits, and in 8 and 4 where those keep its product.
    func linear(_ tensor: PlannedTensor) throws(ConversionError) -> [PolicySearch.Option] {
        let (name, shape) = (tensor.name, tensor.row.shape)
        guard let layer = statistics.layers[name] else { throw LayerChoices.missing(name) }
        guard let measured = try MeasuredChoices(name, weights, layer, on: executor) else {
            let usual = LayerChoices.Choice(storage: tensor.storage)
            return [option(name, [name: usual], bytes: try bytes(tensor, usual), loss: 0)]
        }
        func error(_ storage: Storage) throws(ConversionError) -> Double {
            try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in try measured.product.error(storage) }
        }
        let (kept, rough) = (weights.keptStorage(name), try error(Storage(Impacts.scheme(shape), activations: .float)))
        var choices = [LayerChoices.Choice(storage: kept, error: try error(kept)), try measured.best(.eightBits)]
        if LayerChoices.Rounding.fourBits.holds(shape) { choices.append(try measured.best(.fourBits)) }
        var options: [PolicySearch.Option] = []
        for (index, choice) in choices.enumerated() {
            // A number that is not finite keeps nothing.
            guard let error = choice.error, index == 0 || error <= LayerChoices.budget else { continue }
            let bytes = try sample(of: tensor, measured.weight.values, choice).bytes
            options.append(option(name, [name: choice], bytes: bytes, loss: rough > 0 ? error / rough : 0))
        }
        return options
    }

    /// A layer of the text encoder in 16, 8 and 4 bits: weights alone are rounded, so that their own error says what the product's is.
    func text(_ unit: String, _ tensors: [PlannedTensor]) throws(ConversionError) -> [PolicySearch.Option] {
        let roundings = [LayerChoices.Rounding.eightBits, .fourBits].map(\.plain).filter { scheme in tensors.allSatisfy { scheme.holds($0.row.shape) } }
        var ways = [(choices: [String: LayerChoices.Choice], bytes: Double, ratio: Double)](repeating: ([:], 0, 0), count: 1 + roundings.count)
        for tensor in tensors {
            let values = try weights.sampled(tensor.name).values
            let storages = [weights.keptStorage(tensor.name)] + roundings.map { Storage($0, activations: .float) }
            let rough = try sample(of: tensor, values, LayerChoices.Choice(storage: Storage(Impacts.scheme(tensor.row.shape), activations: .float))).error
            for (index, storage) in storages.enumerated() {
                let choice = LayerChoices.Choice(storage: storage)
                let found = try sample(of: tensor, values, choice)
                ways[index].choices[tensor.name] = choice
                ways[index].bytes += found.bytes
                ways[index].ratio += rough > 0 ? found.error / rough / Double(tensors.count) : 0
            }
        }
        return ways.map { option(unit, $0.choices, bytes: $0.bytes, loss: $0.ratio) }
    }

    private func option(_ unit: String, _ choices: [String: LayerChoices.Choice], bytes: Double, loss ratio: Double) -> PolicySearch.Option {
        PolicySearch.Option(choices: choices, option: Allocation.Option(bytes: bytes, loss: (impacts.errors[unit] ?? []).map { $0 * ratio }))
    }

    // MARK: - Bytes

    /// What a tensor will take in the file, going by some of its rows.
    func bytes(_ tensor: PlannedTensor, _ choice: LayerChoices.Choice) throws(ConversionError) -> Double {
        guard !tensor.isComputed, tensor.row.shape.rank > 0 else { return Double(tensor.packedByteCount) }
        return try sample(of: tensor, try weights.sampled(tensor.name).values, choice).bytes
    }

    func bytes(_ blob: [UInt8]) throws(ConversionError) -> Double {
        try wrapping(ConversionError.machine) { () throws(MachineError) in
            Double(try PlaneEntry.storedByteCount(of: try EncodedTensor(dtype: .u8, shape: [blob.count], copying: blob)))
        }
    }

    /// What a tensor will take, and the power of what is rounded away of it as a share of its own, by some of its rows.
    private func sample(
        of tensor: PlannedTensor, _ values: Tensor, _ choice: LayerChoices.Choice
    ) throws(ConversionError) -> (bytes: Double, error: Double) {
        let (scheme, share) = (choice.storage.scheme, Double(tensor.row.shape.rows) / Double(max(1, values.rows)))
        return try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
            let planes = try scheme.allocate(values.shape, whole: scheme.wholePlanes(for: values.shape, calibration: choice.calibration))
            var error = QuantizationErrorSum()
            error.add(try scheme.encode(values, into: planes, at: 0, subject: tensor.name, calibration: choice.calibration))
            let bytes = try wrapping(PackedFileError.machine) { () throws(MachineError) in
                var sum = 0.0
                for (plane, specification) in zip(planes, scheme.planes(for: values.shape)) {
                    sum += Double(try PlaneEntry.storedByteCount(of: plane)) * (specification.extent == .rows ? share : 1)
                }
                return sum
            }
            return (bytes, error.result.relativeL2 * error.result.relativeL2)
        }
    }
}

internal import ProbePoints
internal import Safetensors
package import Tensors

/// One probe of two runs, judged.
package struct ProbeResult: Sendable, Equatable {
    package let name: String
    let shape: Shape
    let types: String
    /// Token rows that count and all token rows, where a mask says which.
    let rows: (counted: Int, all: Int)?
    package let metrics: Metrics
    package let gate: Gate
    package var passed: Bool { gate.accepts(metrics) }
    package var margin: Double? { gate.margin(of: metrics) }

    package init(_ name: String, reference: EncodedTensor, other: EncodedTensor, keep: [Bool]? = nil, gate: Gate) {
        self.name = name
        shape = reference.shape
        types = reference.dtype == other.dtype ? reference.dtype.rawValue : "\(reference.dtype.rawValue) / \(other.dtype.rawValue)"
        rows = keep.map { ($0.count { $0 }, $0.count) }
        metrics = Metrics(reference: reference, other: other, keep: keep)
        self.gate = gate
    }

    package static func == (left: ProbeResult, right: ProbeResult) -> Bool {
        left.name == right.name && left.shape == right.shape && left.metrics == right.metrics && left.gate == right.gate
    }
}

/// Two traces, probe by probe, in the order in which the data flowed.
package struct TraceComparison: Sendable {
    let reference: TraceFile
    let other: TraceFile
    /// Probes of both, in data-flow order; those whose shapes differ are in `findings` instead.
    package let results: [ProbeResult]
    let onlyInReference: [String]
    let onlyInOther: [String]
    /// What is wrong and is no measured error: shapes that differ, element types without a value.
    let findings: [Finding]
    /// The earliest probe that fails, by its gate or by its shape.
    package let firstDivergent: String?
    /// Size of the pictures in both, where both have one.
    let pictures: (reference: Picture, other: Picture)?

    package var passed: Bool { firstDivergent == nil }

    /// Compares what two traces have in common.
    ///
    /// - Parameter yardstick: PyTorch's float32 trace of the same run, which shows how close float32 gets to a float64 reference.
    /// - Throws: when a trace cannot be read, or when they have no probe in common.
    package static func compare(reference: TraceFile, other: TraceFile, yardstick: TraceFile? = nil) throws(ParityError) -> TraceComparison {
        let common = reference.probes.filter { other.entry($0) != nil }
        guard !common.isEmpty else { throw .nothingInCommon(reference: reference.path, other: other.path) }
        let gates = ProbeGates(
            arithmetic: max(reference.arithmetic, other.arithmetic), weights: TraceWeights.coarser(reference.weights, other.weights),
            depth: ProbeOrder.depth(reference.probes))
        var results: [ProbeResult] = []
        var findings: [Finding] = []
        var first: String?
        var pictures: (Picture, Picture)?
        for name in common {
            let (left, right) = (try reference.read(name), try other.read(name))
            if let finding = Finding.incomparable(name, left, right) {
                findings.append(finding)
                first = first ?? name
                continue
            }
            let keep = try mask(of: name, shape: left.shape, reference: reference, other: other)
            let error = try yardstick.flatMap { (file) throws(ParityError) in try yardstickError(name, left, keep, file) }
            let gate = gates.gate(Probe(name), types: (left.dtype, right.dtype), yardstick: error)
            let result = ProbeResult(name, reference: left, other: right, keep: keep, gate: gate)
            if !result.passed { first = first ?? name }
            results.append(result)
            if Probe(name)?.kind == .bytes, let ours = Picture(right), let theirs = Picture(left) { pictures = (theirs, ours) }
        }
        return TraceComparison(
            reference: reference, other: other, results: results, onlyInReference: reference.probes.filter { other.entry($0) == nil },
            onlyInOther: other.probes.filter { reference.entry($0) == nil }, findings: findings, firstDivergent: first, pictures: pictures)
    }

    private static func yardstickError(_ name: String, _ reference: EncodedTensor, _ keep: [Bool]?, _ file: TraceFile) throws(ParityError) -> Double? {
        guard let entry = file.entry(name), entry.shape == reference.shape, reference.dtype == .f64 else { return nil }
        let tensor = try file.read(name)
        guard tensor.isComparable else { return nil }
        let error = Metrics(reference: reference, other: tensor, keep: keep)
        return error.mismatches == 0 ? error.relativeL2 : nil
    }

    /// Which token rows count: those that the reference's mask keeps, the other's where the reference has none, else all.
    private static func mask(of name: String, shape: Shape, reference: TraceFile, other: TraceFile) throws(ParityError) -> [Bool]? {
        guard let mask = Probe(name)?.mask?.name, let holder = reference.entry(mask) != nil ? reference : other.entry(mask) != nil ? other : nil
        else { return nil }
        let tensor = try holder.read(mask)
        let rows = shape.extents.dropLast().reduce(1, *)
        guard tensor.isComparable, shape.rank > 0, tensor.shape.elementCount == rows else { return nil }
        return tensor.doubles.map { $0 != 0 }
    }
}

extension Finding {
    /// Why two tensors of one name cannot be measured against each other; nil when they can.
    fileprivate static func incomparable(_ name: String, _ reference: EncodedTensor, _ other: EncodedTensor) -> Finding? {
        guard reference.shape == other.shape else {
            return Finding(subject: name, what: "shape", expected: "\(reference.shape)", found: "\(other.shape)")
        }
        guard reference.isComparable && other.isComparable else {
            let types = "\(reference.dtype.rawValue) / \(other.dtype.rawValue)"
            return Finding(subject: name, what: "element type", expected: "integers, F16, BF16, F32 or F64", found: types)
        }
        return nil
    }
}

extension TraceWeights {
    /// The one that rounds more.
    package static func coarser(_ left: TraceWeights, _ right: TraceWeights) -> TraceWeights {
        let order: [TraceWeights] = [.exact, .float16, .bfloat16, .int8, .int4]
        return order.last { $0 == left || $0 == right } ?? .exact
    }
}

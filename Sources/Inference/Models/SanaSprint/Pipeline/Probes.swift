import Operations
package import ProbePoints
package import Tensors

/// Takes the values of probe points while a model runs: a trace file, a comparison.
package protocol ProbeSink: AnyObject {
    /// Whether `record` shall be called for this probe; without it the value is not even laid out.
    func wants(_ probe: Probe) -> Bool
    /// A probe's value, in the shape traces have: maps `[1, c, h, w]`, tokens `[1, tokens, c]`.
    func record(_ probe: Probe, _ value: EncodedTensor)
}

/// Is told of each probe point as a run passes it, without a value: what times layers. The run is the one without it, but that the decoder finishes
/// each stage before the next begins.
package protocol StageClock: AnyObject {
    func passed(_ probe: Probe)
}

/// The probe points of one run, or of one step of its sampler; does nothing where nobody listens.
///
/// Values are taken from where they are computed if somebody listens, and copied, so that the models may go on in place.
package struct Probes {
    let sink: (any ProbeSink)?
    private let clock: (any StageClock)?
    private let cancellation: Cancellation?
    private var step: Int?

    init(sink: (any ProbeSink)? = nil, clock: (any StageClock)? = nil, cancellation: Cancellation? = nil) {
        (self.sink, self.clock, self.cancellation) = (sink, clock, cancellation)
    }

    /// Throws where the run is not wanted any more: asked between layers.
    func checkCancelled() throws(InferenceError) { try cancellation?.check() }

    /// The same run, with nobody who listens to what it computes on the way.
    var unheard: Probes { Probes(cancellation: cancellation) }

    /// The probe points of a step of the sampler.
    func at(step: Int) -> Probes {
        var probes = self
        probes.step = step
        return probes
    }

    /// A value that is recorded under the shape given, or its own.
    func record(_ probe: Probe, _ value: @autoclosure () throws(MachineError) -> Tensor, as shape: Shape? = nil) throws(MachineError) {
        guard let (probe, sink) = listener(probe) else { return }
        let copy = try value().copy()
        sink.record(probe, EncodedTensor(shape.map { copy.reshaped($0) } ?? copy))
    }

    /// Rows `[tokens, c]`, recorded as `[1, rows, c]` with zeros after the last token.
    func recordTokens(_ probe: Probe, _ value: @autoclosure () throws(MachineError) -> Tensor, paddedTo rows: Int? = nil) throws(MachineError) {
        guard let (probe, sink) = listener(probe) else { return }
        let value = try value()
        let padding = try Tensor([max(0, (rows ?? 0) - value.rows), value.columns])
        sink.record(probe, EncodedTensor(try Tensor(stacking: [value, padding]).batched))
    }

    /// A map `[h, w, c]`, recorded as `[1, c, h, w]`.
    func recordMap(_ probe: Probe, _ value: @autoclosure () throws(MachineError) -> Tensor) throws(MachineError) {
        guard let (probe, sink) = listener(probe) else { return }
        sink.record(probe, EncodedTensor(try ImageLayout.channelsFirst(try value()).batched))
    }

    /// One number, recorded as `[1]`.
    func record(_ probe: Probe, _ number: Double) throws(MachineError) {
        guard let (probe, sink) = listener(probe) else { return }
        sink.record(probe, EncodedTensor(try Tensor([1], [Float(number)])))
    }

    func record(_ probe: Probe, _ numbers: [Int32], as shape: Shape) throws(MachineError) {
        guard let (probe, sink) = listener(probe) else { return }
        sink.record(probe, try EncodedTensor(shape, numbers))
    }

    func record(_ probe: Probe, _ bytes: [UInt8], as shape: Shape) throws(MachineError) {
        guard let (probe, sink) = listener(probe) else { return }
        sink.record(probe, try EncodedTensor(dtype: .u8, shape: shape, copying: bytes))
    }

    /// Whether nobody is told of any probe.
    var isSilent: Bool { sink == nil && clock == nil }

    /// Whether anybody wants this probe, so that what leads to it has to be finished first.
    func listens(_ probe: Probe) -> Bool { clock != nil || sink?.wants(probe.at(step)) == true }

    private func listener(_ probe: Probe) -> (Probe, any ProbeSink)? {
        let probe = probe.at(step ?? probe.step)
        clock?.passed(probe)
        guard let sink, sink.wants(probe) else { return nil }
        return (probe, sink)
    }
}

extension Tensor {
    /// The same elements with a batch axis of 1 in front.
    var batched: Tensor { reshaped(Shape([1] + shape.extents)) }
}

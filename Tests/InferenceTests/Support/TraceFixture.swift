import Inference
import ProbePoints
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// A trace below Tests/Fixtures: reference values, and the request they answer.
struct TraceFixture {
    private let file: SafetensorsFile
    private let meta: JSONFields

    init(_ name: String) throws {
        file = try SafetensorsFile.open(Fixtures.path(name))
        let text = try #require(file.header.metadata.first { $0.0 == "meta" }?.1)
        meta = try JSONFields(try JSONValue.parse(Array(text.utf8)), subject: name)
    }

    var names: [String] { file.header.entries.map(\.name) }
    func tensor(_ name: String) throws -> EncodedTensor { try file.read(name) }
    func floats(_ name: String) throws -> Tensor { try tensor(name).widened() }

    func request() throws -> GenerationRequest {
        let steps = try meta.int("steps", in: 1...64)
        var request = GenerationRequest(prompt: try meta.string("prompt"))
        request.noise = .given(latents: try floats("input.latents"), steps: try (0..<steps).map { try floats("input.noise.\($0)") })
        request.useInstruction = try meta.bool("instruction")
        request.guidance = Float(try meta.double("guidance"))
        request.width = try meta.int("width", in: 1...65_536)
        request.height = try meta.int("height", in: 1...65_536)
        let times = try meta.array("timesteps").compactMap(\.double)
        // Plans by the number of steps are diffusers' own: where a trace has other times it was made with a list.
        request.timesteps = .steps(steps)
        if try request.timesteps.times(maximumSteps: 1000).map(Double.init) != times { request.timesteps = .custom(times) }
        let picture = try tensor("image_u8")
        request.encoderPicture = Picture(width: picture.shape[1], height: picture.shape[0], rgb: picture.contents)
        return request
    }

    /// The trace's features of the prompt.
    func promptFeatures() throws -> PromptFeatures {
        PromptFeatures(try floats("prompt_embeds"), mask: try floats("prompt_mask").elements.map { Int32($0) })
    }

    /// A probe's elements, of token probes those of tokens: padding need not be computed.
    func kept(_ name: String, _ value: EncodedTensor) throws -> [Double] {
        let elements = unsafe value.dtype == .f64 ? Array(value.bytes.bindMemory(to: Double.self)) : try value.widened().elements.map(Double.init)
        let isText = name == "text.embed" || name.hasPrefix("text.layer.")
        guard isText || name == "prompt_embeds" || name == "dit.caption" else { return elements }
        let mask = try floats(isText ? "text.attention_mask" : "prompt_mask").elements
        let channels = value.shape[2]
        return elements.indices.filter { mask[$0 / channels] == 1 }.map { elements[$0] }
    }
}

/// Keeps every probe.
final class Recorder: ProbeSink {
    private(set) var values: [String: EncodedTensor] = [:]
    func wants(_ probe: Probe) -> Bool { true }
    func record(_ probe: Probe, _ value: EncodedTensor) { values[probe.name] = value }

    func floats(_ name: String) throws -> Tensor { try #require(values[name], "\(name)").widened() }
}

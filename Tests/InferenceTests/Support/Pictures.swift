import Tensors

@testable import Inference

extension SanaSprintPipeline {
    /// A picture by an engine of its own.
    func generate(_ request: GenerationRequest, probes: (any ProbeSink)? = nil, residentBytes: Int? = nil) throws -> Picture {
        try Engine(self, residentBytes: residentBytes).run(Job(request, probes: probes))
    }
}

extension SanaSprintPipeline {
    /// The picture of latents alone, `[c, h, w]` of unit variance.
    func decode(_ latents: Tensor) throws(InferenceError) -> Picture { try decode(latents, try decoder(), Probes()) }
}

import Inference
import Tensors

extension SanaSprintPipeline {
    /// A picture by an engine of its own.
    func generate(_ request: GenerationRequest, probes: (any ProbeSink)? = nil, residentBytes: Int? = nil) throws -> Picture {
        try Engine(self, residentBytes: residentBytes).run(Job(request, probes: probes))
    }
}

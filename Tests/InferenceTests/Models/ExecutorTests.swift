import Operations
import Tensors
import TestKit
import Testing

@testable import Inference

/// Models on an executor that keeps its values out of their reach: what a device will be to them.
@Suite struct ExecutorTests {
    @Test("an executor of its own values has the CPU's bits at every probe", arguments: GoldenTests.goldens)
    func probes(_ golden: GoldenTests.Golden) throws {
        let request = try TraceFixture(golden.float32).request()
        let weights = try TableWeights(golden.checkpoint, fusions: golden.fusions)
        let (near, far) = (Recorder(), Recorder())
        let picture = try SanaSprintPipeline(weights: weights, on: .best).generate(request, probes: near)
        #expect(try SanaSprintPipeline(weights: weights, on: FarExecutor()).generate(request, probes: far) == picture)
        #expect(far.values.count > 20 && Set(far.values.keys) == Set(near.values.keys))
        for (name, value) in near.values { #expect(far.values[name]?.contents == value.contents, "\(name)") }
    }

    @Test("an executor's own memory is stated apart: the machine's is then of what is on its way there")
    func memory() throws {
        let weights = try ConvertedWeights.int8()
        func statement(on executor: some Executor, resident: Int?) throws -> MemoryStatement {
            try Engine(SanaSprintPipeline(weights: weights, on: executor), residentBytes: resident).memoryStatement(GenerationRequest(prompt: "a"))
        }
        for resident in [nil, Int.max] {
            let (near, far) = (
                try statement(on: .best, resident: resident), try statement(on: FarExecutor(memory: (free: 1 << 20, total: 1 << 30)), resident: resident)
            )
            #expect(near.ownBytes == nil && near.stages.count == far.stages.count)
            for (near, far) in zip(near.stages, far.stages) {
                let own = try #require(far.ownBytes)
                #expect(own > 0 && own <= near.weightBytes + near.workingBytes, "\(far)")
                #expect(far.weightBytes <= near.weightBytes + near.workingBytes, "\(far)")
            }
            #expect(far.ownBytes == far.stages.compactMap(\.ownBytes).max())
        }
    }

    @Test("what a picture moves: its prompt, each step's latents and times, and the picture") func moves() throws {
        let (executor, weights) = (FarExecutor(), try ConvertedWeights.int8())
        let pipeline = try SanaSprintPipeline(weights: weights, on: executor)
        let engine = Engine(pipeline, residentBytes: .max)
        func counts(_ prompt: String, steps: Int) throws -> FarExecutor.Counts {
            var request = GenerationRequest(prompt: prompt, noise: .seed(1))
            (request.width, request.height, request.timesteps) = (48, 32, .steps(steps))
            _ = executor.take()
            let picture = try engine.run(Job(request))
            let counts = executor.take()
            #expect(try SanaSprintPipeline(weights: weights, on: .best).generate(request) == picture)
            return counts
        }
        // Layers and prompt are there after the first.
        _ = try counts("a", steps: 1)
        let (one, three) = (try counts("a", steps: 1), try counts("a", steps: 3))
        let c = pipeline.configuration.transformer
        let vae = try #require(pipeline.configuration.vae)
        let latents = c.channels * 48 * 32 / (vae.compression * vae.compression)
        #expect(three.into - one.into == 2 * (latents + 2 * 256), "a step takes its latents, and the waves of time and guidance")
        #expect(three.out - one.out == 2 * latents, "a step gives its velocity")
        #expect(one.into == latents + 2 * 256 + latents && one.out == latents + 3 * 48 * 32, "the decoder takes latents and gives a picture")
        #expect((one.layers, three.layers) == (0, 0))
        #expect((three.operations - one.operations) / 2 == 15 * c.layers + 14, "each block is fifteen operations, of which six name a row")
        let prompt = try counts("b", steps: 1)
        let text = try #require(pipeline.configuration.text)
        let read = SanaSprintPrompt("b", tokenizer: try pipeline.tokenizer())
        let (tokens, kept) = (read.ids.count, read.keptPositions.count)
        #expect(prompt.into - one.into == tokens * (text.width + text.headDimension) + kept * text.width, "tokens, the angles of their places; features")
        #expect(prompt.out - one.out == tokens * text.width, "hidden states, of which the prompt's are kept")
    }
}

import Testing

@testable import Inference

@Suite struct TimestepPlanTests {
    /// torch.linspace(1.57080, 0, n + 1) in float32, but for two steps, which SCMScheduler fixes.
    @Test(arguments: [
        (1, [1.5708]), (2, [1.5708, 1.3]), (3, [1.5708, 1.0471999645233154, 0.5235999822616577]), (4, [1.5708, 1.1781, 0.7854, 0.3927]),
        (7, [1.5708, 1.3463999032974243, 1.121999979019165, 0.8975999355316162, 0.6732000112533569, 0.4487999975681305, 0.22439999878406525]),
    ]) func timesByTheNumberOfSteps(_ steps: Int, _ expected: [Float]) throws {
        #expect(try TimestepPlan.steps(steps).times(maximumSteps: 1000) == expected + [0])
    }

    /// Where a product rounded on its own would be off by a unit in the last place.
    @Test func evenSpacingRoundsOnce() throws {
        let times = try TimestepPlan.steps(19).times(maximumSteps: 1000)
        #expect(times[5] == 1.1574314832687378)
    }

    @Test func thePapersFourSteps() throws {
        let times = try TimestepPlan.paper4.times(maximumSteps: 1000)
        // atan(400) to nine digits.
        #expect(times == [1.56829633, 1.3, 1.1, 0.6, 0])
        #expect(TimestepPlan.named.map(\.name) == ["paper4"])
    }

    @Test(
        arguments: [
            [], [0], [1.3], [1.3, 0.5], [1, 1.3, 0], [1.3, 1.3, 0], [1.3, 0, 0], [1.3, -0.5, 0], [2, 1, 0], [.nan, 0], [.infinity, 0],
        ] as [[Double]]) func listsThatDoNotFallToZeroAreRefused(_ list: [Double])
    {
        #expect(throws: InferenceError.self) { try TimestepPlan.custom(list).times(maximumSteps: 1000) }
    }

    @Test(arguments: [-1, 0, 1001]) func stepCountsOutsideTheSchedulersRangeAreRefused(_ steps: Int) {
        #expect(throws: InferenceError.request(subject: "sampling steps", expected: "1 to 1000", found: "\(steps)")) {
            try TimestepPlan.steps(steps).times(maximumSteps: 1000)
        }
    }
}

import Inference
import Tensors

/// The way of some pictures from noise to latents by several schedules at once: a step of all of them takes one pass over a model's weights.
struct PictureWalk {
    /// By plan.
    let flows: [[TrigFlow]]
    let guidance: Double
    let side: Int
    private let sigma: Double
    /// By draw: the start, and what is added after each step.
    private let noises: [[Tensor]]

    struct Result {
        /// What the network saw, each time and input once, those of the first step first.
        var moments: [Moment] = []
        /// By moment, by input.
        var velocities: [[Tensor]] = []
        /// By plan, by draw, of unit variance.
        var latents: [[Tensor]] = []
    }

    /// Latents of one plan, and the reference's pictures of them, by draw.
    struct Pictures {
        let latents: [Tensor]
        let pictures: [Picture]
    }

    /// Passes over the weights.
    var rounds: Int { flows.map(\.count).max() ?? 0 }

    init(flows: [[TrigFlow]], guidance: Double, side: Int, sigma: Double, noises: [[Tensor]]) {
        (self.flows, self.guidance, self.side, self.sigma, self.noises) = (flows, guidance, side, sigma, noises)
    }

    /// - Parameters:
    ///   - frozen: the schedule that takes the place of `steps` and of the guidance.
    ///   - firstSeed: of the noise of draw 0.
    init(
        _ configuration: SanaSprintConfiguration, _ frozen: FrozenSchedule?, steps: [Int], mostPlans: Int, draws: Int, firstSeed: Int, side: Int
    ) throws(InferenceError) {
        var request = GenerationRequest(prompt: "")
        if let frozen { request.follow(frozen, keepsSteps: false, keepsGuidance: false) }
        let plans = frozen.map { Array($0.plans.prefix(mostPlans)) } ?? steps.map { TimestepPlan.steps($0) }
        let flows = try plans.map { plan throws(InferenceError) in try TrigFlow.steps(of: plan, configuration.scheduler) }
        let most = (flows.map(\.count).max() ?? 0) + 1
        let noises = try (0..<draws).map { draw throws(InferenceError) in
            try Draw.noises(firstSeed + draw, most, configuration.transformer, side: side)
        }
        self.init(flows: flows, guidance: Double(request.guidance), side: side, sigma: configuration.scheduler.sigmaData, noises: noises)
    }

    /// Takes all draws through all plans.
    /// - Parameter velocities: gives those of some moments, by moment, by input. A moment's draws are numbers of draws.
    func run(_ velocities: ([Moment]) throws(InferenceError) -> [[Tensor]]) throws(InferenceError) -> Result {
        var result = Result()
        let start = try noises.map { noises throws(InferenceError) in
            try allocating { () throws(MachineError) in try noises[0].scaled(by: sigma) }
        }
        var states = flows.map { _ in start }
        var clean = states
        for round in 0..<rounds {
            let running = flows.indices.filter { flows[$0].count > round }
            var moments: [Moment] = []
            // By running plan: its moment, and the place of its first draw there.
            var places: [(moment: Int, first: Int)] = []
            for plan in running {
                let time = flows[plan][round].flowTime
                let known = moments.firstIndex { $0.time == time }
                // All plans start from the same noise.
                if round == 0, let known {
                    places.append((known, 0))
                    continue
                }
                let seen = try states[plan].map { state throws(InferenceError) in
                    try allocating { () throws(MachineError) in try flows[plan][round].input(state) }
                }
                let moment = known ?? moments.count
                if known == nil { moments.append(Moment(time: time, inputs: [], draws: [])) }
                places.append((moment, moments[moment].inputs.count))
                moments[moment].inputs += seen
                moments[moment].draws += Array(seen.indices)
            }
            let found = try velocities(moments)
            for (plan, place) in zip(running, places) {
                let flow = flows[plan][round]
                for draw in noises.indices {
                    let (input, velocity) = (moments[place.moment].inputs[place.first + draw], found[place.moment][place.first + draw])
                    (clean[plan][draw], states[plan][draw]) = try allocating { () throws(MachineError) in
                        let denoised = try flow.denoised(states[plan][draw], input: input, velocity: velocity)
                        return (denoised, try flow.renoised(denoised, noise: noises[draw][round + 1]))
                    }
                }
            }
            result.moments += moments
            result.velocities += found
        }
        result.latents = try clean.map { row throws(InferenceError) in
            try row.map { latents throws(InferenceError) in
                try allocating { () throws(MachineError) in try latents.scaled(by: 1 / sigma) }
            }
        }
        return result
    }
}

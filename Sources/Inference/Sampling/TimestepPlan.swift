import Glibc

/// The times at which a picture is sampled: from almost all noise, about pi/2, down to 0.
package enum TimestepPlan: Sendable, Equatable {
    /// diffusers' grid for a number of steps: 1.5708 to 0, with 1.3 in between for two steps, else evenly spaced.
    case steps(Int)
    /// Times that fall strictly and end in 0.
    case custom([Double])

    /// The four-step times that SANA-Sprint's authors searched for (arXiv 2503.09641, table 7).
    static let paper4 = TimestepPlan.custom([atan(400), 1.3, 1.1, 0.6, 0])

    /// Plans with a name, as the command line spells them.
    package static let named: [(name: String, plan: TimestepPlan)] = [("paper4", paper4)]

    /// The first of diffusers' times; a little above pi/2.
    private static let highest = 1.57080
    /// The middle of diffusers' two steps.
    private static let intermediate = 1.3

    package var stepCount: Int {
        switch self {
        case .steps(let count): count
        case .custom(let times): times.count - 1
        }
    }

    /// The times as float32 numbers, as which SCMScheduler keeps them: one more than steps, the last 0.
    package func times(maximumSteps: Int) throws(InferenceError) -> [Float] {
        guard (1...maximumSteps).contains(stepCount) else {
            throw .request(subject: "sampling steps", expected: "1 to \(maximumSteps)", found: "\(stepCount)")
        }
        switch self {
        case .steps(2): return [Float(Self.highest), Float(Self.intermediate), 0]
        case .steps(let count): return Self.evenlySpaced(count)
        case .custom(let list):
            let times = list.map { Float($0) }
            // Beyond pi/2 the network has never been; at 3 pi/4 the flow time would be infinite.
            let falls = zip(times, times.dropFirst()).allSatisfy { $0 > $1 }
            guard falls, times[times.count - 1] == 0, times[0] <= Float(Self.highest) else {
                throw .request(
                    subject: "timesteps", expected: "at least two numbers that fall from at most \(Self.highest) to 0",
                    found: list.map { "\($0)" }.joined(separator: ", "))
            }
            return times
        }
    }

    /// The last steps of the plan, for a picture that is changed by so much: of n steps those from int(n - n strength) on, as diffusers takes them.
    package func last(strength: Double, maximumSteps: Int) throws(InferenceError) -> TimestepPlan {
        let times = try times(maximumSteps: maximumSteps)
        let count = Double(times.count - 1)
        let first = Int(max(count - min(count * strength, count), 0))
        guard first < times.count - 1 else {
            throw .request(subject: "strength", expected: "enough for one of \(times.count - 1) steps", found: "\(strength)")
        }
        return .custom(times[first...].map { Double($0) })
    }

    /// What a picture that the plan starts from counts at its first time, as a factor: at 1.5708 nothing.
    package func pictureWeight(maximumSteps: Int) throws(InferenceError) -> Double { cos(Double(try times(maximumSteps: maximumSteps)[0])) }

    /// torch.linspace(1.5708, 0, count + 1) in float32, to the last bit: counted from either end to the middle, with one rounding each.
    private static func evenlySpaced(_ count: Int) -> [Float] {
        let start = Float(highest)
        let step = -start / Float(count)
        return (0...count).map { index in index < (count + 1) / 2 ? start.addingProduct(step, Float(index)) : -step * Float(count - index) }
    }
}

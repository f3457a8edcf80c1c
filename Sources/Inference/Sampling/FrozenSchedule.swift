package import StrictJSON

/// The sampling plans whose embeddings of time and guidance a file has as tables, in place of the networks that compute them.
package struct FrozenSchedule: Sendable, Equatable {
    /// Names of plans: numbers of steps, or one of `TimestepPlan.named`. At least one, each once.
    let steps: [String]
    /// Guidance scales as a user states them. At least one, each once.
    let guidance: [Double]
    /// What the tables have a row for: for each guidance scale each time that some plan starts a step at, times falling.
    package let rows: [Row]

    package struct Row: Sendable, Equatable {
        /// Flow time in [0, 1], as the transformer takes it.
        package let flowTime: Double
        package let guidance: Double
    }

    /// Rows that a file may have.
    private static let mostRows = 1024

    package init(steps: [String], guidance: [Double]) throws(InferenceError) {
        var times: Set<Float> = []
        for name in steps {
            guard let plan = Self.plan(name) else {
                let names = TimestepPlan.named.map(\.name).joined(separator: ", ")
                throw .request(subject: "frozen steps", expected: "numbers of steps from 1 to \(Self.mostRows), or \(names)", found: "\"\(name)\"")
            }
            times.formUnion(try plan.times(maximumSteps: Self.mostRows).dropLast())
        }
        guard !steps.isEmpty, Set(steps).count == steps.count else {
            throw .request(subject: "frozen steps", expected: "at least one plan, each once", found: steps.joined(separator: ","))
        }
        guard !guidance.isEmpty, Set(guidance).count == guidance.count, guidance.allSatisfy({ $0.isFinite && abs($0) <= 1000 }) else {
            throw .request(
                subject: "frozen guidance", expected: "at least one number from -1000 to 1000, each once",
                found: guidance.map { "\($0)" }.joined(separator: ","))
        }
        guard times.count * guidance.count <= Self.mostRows else {
            throw .request(
                subject: "frozen steps and guidance", expected: "at most \(Self.mostRows) pairs of time and guidance", found: "\(times.count * guidance.count)")
        }
        (self.steps, self.guidance) = (steps, guidance)
        rows = guidance.flatMap { scale in
            times.sorted(by: >).map { Row(flowTime: TrigFlow(from: $0, to: 0, sigma: 1).flowTime, guidance: scale) }
        }
    }

    /// The plan that a name stands for.
    static func plan(_ name: String) -> TimestepPlan? {
        if let count = Int(name), "\(count)" == name, (1...mostRows).contains(count) { return .steps(count) }
        return TimestepPlan.named.first { $0.name == name }?.plan
    }

    /// The plans, in their order.
    package var plans: [TimestepPlan] { steps.compactMap(Self.plan) }

    /// The row of a flow time and a guidance scale, compared as float32; nil where there is none.
    func row(flowTime: Double, guidance: Double) -> Int? {
        rows.firstIndex { Float($0.flowTime) == Float(flowTime) && Float($0.guidance) == Float(guidance) }
    }

    /// - Throws: where a plan of such times and guidance needs a row that is not there.
    func check(times: [Float], guidance: Float) throws(InferenceError) {
        let isThere = times.dropLast().allSatisfy { row(flowTime: TrigFlow(from: $0, to: 0, sigma: 1).flowTime, guidance: Double(guidance)) != nil }
        guard isThere else {
            throw .request(
                subject: "steps and guidance", expected: "what the file was frozen for: \(description); convert without --freeze-steps to be free",
                found: "times \(times.dropLast().map { "\($0)" }.joined(separator: ", ")) with guidance \(guidance)")
        }
    }

    /// "steps 1, 2, 4 with guidance 4.5".
    package var description: String {
        "steps \(steps.joined(separator: ", ")) with guidance \(guidance.map { "\($0)" }.joined(separator: ", "))"
    }

    // MARK: - In the policy of a packed file

    package static let policyKey = "freeze"

    package var json: JSONValue { ["guidance": .array(guidance.map { .number($0) }), "steps": .array(steps.map { .string($0) })] }

    /// Reads the member of a policy; nil where it has none.
    package init?(policy: JSONValue) throws(InferenceError) {
        guard let value = policy[Self.policyKey] else { return nil }
        let steps = value["steps"]?.array?.map { $0.string ?? $0.text } ?? []
        let guidance = value["guidance"]?.array?.map { $0.double ?? .nan } ?? []
        try self.init(steps: steps, guidance: guidance)
    }
}

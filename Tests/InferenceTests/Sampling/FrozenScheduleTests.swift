import StrictJSON
import Testing

@testable import Inference

struct FrozenScheduleTests {
    @Test func hasARowForEachDistinctTimeOfEachGuidance() throws {
        let schedule = try FrozenSchedule(steps: ["1", "2", "4"], guidance: [4.5, 3])
        #expect(schedule.rows.count == 10)
        #expect(schedule.rows.prefix(5).allSatisfy { $0.guidance == 4.5 })
        #expect(zip(schedule.rows.prefix(5), schedule.rows.prefix(5).dropFirst()).allSatisfy { $0.flowTime > $1.flowTime })
        for (index, row) in schedule.rows.enumerated() {
            #expect(schedule.row(flowTime: Double(Float(row.flowTime)), guidance: row.guidance) == index)
        }
        #expect(schedule.row(flowTime: schedule.rows[0].flowTime, guidance: 4) == nil)
    }

    @Test func comesBackFromAPolicy() throws {
        let schedule = try FrozenSchedule(steps: ["2", "paper4"], guidance: [4.5])
        #expect(try FrozenSchedule(policy: ["freeze": schedule.json]) == schedule)
        #expect(try FrozenSchedule(policy: ["rules": []]) == nil)
    }

    static let malformed: [JSONValue] = [
        [], ["steps": [], "guidance": [1]], ["steps": ["2"], "guidance": []], ["steps": ["02"], "guidance": [1]],
        ["steps": ["1000"], "guidance": [1, 2]], ["steps": ["1"], "guidance": ["x"]],
    ]

    @Test(arguments: malformed) func othersAreRefused(freeze: JSONValue) {
        #expect(throws: InferenceError.self) { try FrozenSchedule(policy: ["freeze": freeze]) }
    }
}

import Foundation
import TestKit
import Testing

/// Ctrl-C at any moment leaves the complete file or nothing.
@Suite(.serialized) struct InterruptTests {
    @Test(arguments: [SIGINT, SIGTERM]) func conversionLeavesNothingBehind(signal: Int32) throws {
        let shop = try Workshop()
        var statuses: Set<Int32> = []
        for delay in [0, 5, 20, 40, 80, 120, 160, 220, 300, 400] {
            let running = try Tool.start(["convert", Workshop.tiny, "-o", shop.path("out.sprint")])
            usleep(UInt32(delay) * 1000)
            running.send(signal)
            let result = try running.wait()
            statuses.insert(result.status)
            // Before main() has run, the signal's default action ends the process; afterwards the exit code is 130, or 0 if it was done.
            #expect([0, 130, 1000 + signal].contains(result.status), "after \(delay) ms: \(result.status) \(result.errors)")
            // A signal between the moment the file gets its name and the end finds it complete.
            let isComplete = try shop.names == ["out.sprint"] && Tool.run(["verify", shop.path("out.sprint")]).status == 0
            #expect(isComplete || shop.names.isEmpty && result.status != 0, "after \(delay) ms: \(shop.names), \(result.status)")
            try? FileManager.default.removeItem(atPath: shop.path("out.sprint"))
        }
        #expect(statuses.contains(130))
    }

    @Test func aKilledConversionLeavesNothingBehind() throws {
        let shop = try Workshop()
        let running = try Tool.start(["convert", Workshop.tiny, "-o", shop.path("out.sprint")])
        usleep(100_000)
        running.send(SIGKILL)
        let result = try running.wait()
        #expect(result.status == 0 || result.status == 1000 + SIGKILL)
        #expect(shop.names.filter { $0 != "out.sprint" }.isEmpty)
    }
}

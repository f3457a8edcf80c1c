import Foundation
import TestKit
import Testing

/// A signal at any moment leaves the complete file or nothing. The moments are system calls of the conversion, at which it is stopped.
@Suite struct InterruptTests {
    private static let writes = [1, 2, 5].map { StoppedTool.Place(function: "pwrite", nth: $0, holds: true) }

    private func convert(_ shop: Workshop, at place: StoppedTool.Place) throws -> StoppedTool {
        try StoppedTool(["convert", Workshop.tiny, "-o", shop.path("out.sprint"), "--quiet", "--force"] + Workshop.quick, at: place)
    }

    private func isComplete(_ shop: Workshop) throws -> Bool {
        try shop.names == ["out.sprint"] && Tool.run(["verify", shop.path("out.sprint"), "--quiet"]).status == 0
    }

    /// While the source is read, between writes, and before the last sync: the thread that works never goes on, so that the signal alone ends the process.
    @Test(arguments: [SIGINT, SIGTERM], writes + [.init(function: "pread", nth: 1, part: "transformer", holds: true), .init(function: "fsync", holds: true)])
    func beforeTheFileHasItsNameNothingIsLeft(signal: Int32, place: StoppedTool.Place) throws {
        let shop = try Workshop()
        let running = try convert(shop, at: place)
        running.send(signal)
        let result = try running.finish()
        #expect(result.status == 130, "\(place): \(result.errors)")
        #expect(shop.names.isEmpty, "\(place)")
    }

    /// In the middle of the naming, where the file has a hidden name and not yet its own: the naming is finished first.
    @Test(arguments: [SIGINT, SIGTERM]) func theNamingIsNotInterrupted(signal: Int32) throws {
        let shop = try Workshop()
        let running = try convert(shop, at: .init(function: "rename"))
        #expect(shop.names.count == 1 && shop.names[0].hasSuffix(".tmp"), "\(shop.names)")
        running.send(signal)
        let result = try running.finish()
        // The process may be done before the signal's turn comes.
        #expect([0, 130].contains(result.status), "\(result.errors)")
        #expect(try isComplete(shop))
    }

    /// After the naming, before the end.
    @Test(arguments: [SIGINT, SIGTERM]) func afterTheFileHasItsNameItIsComplete(signal: Int32) throws {
        let shop = try Workshop()
        let running = try convert(shop, at: .init(function: "fsync", nth: 2, holds: true))
        running.send(signal)
        #expect(try running.finish().status == 130)
        #expect(try isComplete(shop))
    }

    @Test(arguments: writes) func aKilledConversionLeavesNothingBehind(place: StoppedTool.Place) throws {
        let shop = try Workshop()
        let running = try convert(shop, at: place)
        running.send(SIGKILL)
        #expect(try running.finish().status == 1000 + SIGKILL)
        #expect(shop.names.isEmpty)
    }
}

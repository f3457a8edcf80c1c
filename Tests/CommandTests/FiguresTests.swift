import Files
import Foundation
import StrictJSON
import TestKit
import Testing

/// The script that computes figures again, and the Python that runs it.
private enum FiguresScript {
    private static let python = ProcessInfo.processInfo.environment["SPRINTPACK_PYTHON"]
    private static let path = Paths.join(Paths.parent(of: #filePath), "Figures/figures.py")
    /// `make test` installs what the script needs and names the Python: there, the test fails and is not skipped where something is missing.
    static let isWanted: Bool = python != nil || (try? run("--help").status) == 0

    static func run(_ arguments: String...) throws -> ChildProcess.Result { try ChildProcess.run([python ?? "python3", path] + arguments) }
}

/// The figures of a report against numpy, and those of the page against the report.
@Suite struct FiguresTests {
    @Test("figures are those that numpy computes from the exported tensors, and the page shows no others", .enabled(if: FiguresScript.isWanted))
    func figures() throws {
        let shop = try Workshop()
        let (checkpoint, file, export) = (shop.path("float32"), shop.path("int8.sprint"), shop.path("exported"))
        let (json, page) = (shop.path("report.json"), shop.path("report.html"))
        // With sources in float32 an export rounds nothing off.
        let widened = try FiguresScript.run("widen", Workshop.mini, checkpoint)
        #expect(widened.status == 0, "\(widened.errors)")
        #expect(try Tool.run(["convert", checkpoint, "-o", file, "--components", "all", "-q"]).status == 0)
        #expect(try Tool.run(["export", file, "-o", export, "-q"]).status == 0)
        let verified = try Tool.run(["verify", file, "--against", checkpoint, "--html", page, "--json"])
        #expect(verified.status == 0, "\(verified.errors)")
        try OutputFile.write(Array(verified.output.utf8), to: json, replace: false)

        func check() throws -> ChildProcess.Result { try FiguresScript.run("check", json, page, file, checkpoint, export) }
        let result = try check()
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        let compared = try #require(result.output.split(separator: " ").first.flatMap { Int($0) })
        #expect(compared > 2000)

        // The check itself: one figure that is wrong by a little, in the report or on the page, does not pass.
        let tables = try #require(verified.json()["tables"]?.array)
        let worst = try #require(tables.first { $0["title"]?.string?.hasPrefix("Weights furthest") == true }?["rows"]?.array?.first?.array)
        let decibels = try #require(worst[2].string)
        let digit = try #require(decibels.last?.wholeNumberValue)
        let wrong = String(decibels.dropLast()) + "\((digit + 5) % 10)"
        try OutputFile.write(Array(verified.output.replacing("\"\(decibels)\"", with: "\"\(wrong)\"").utf8), to: json, kind: .anything, replace: true)
        let forged = try check()
        #expect(forged.status == 1 && forged.output.contains(": SQNR: shown \(wrong)"), "\(forged.output)")
        try OutputFile.write(Array(verified.output.utf8), to: json, kind: .anything, replace: true)
        let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: page)), as: UTF8.self)
        try OutputFile.write(Array(text.replacing(">\(decibels)<", with: ">\(wrong)<").utf8), to: page, kind: .anything, replace: true)
        #expect(try check().output.contains("page: Weights furthest"))
    }
}

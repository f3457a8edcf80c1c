import Files
import StrictJSON
import TestKit
import Testing

/// `convert` that searches: for a size, for a ratio of signal to noise, and what it says of both.
@Suite struct SearchTests {
    private static let gathered = Result {
        let shop = try Workshop()
        let made = try Tool.run(["calibrate", Workshop.tiny, "-o", shop.path("a.cal")])
        guard made.status == 0 else { throw Workshop.Failure(description: made.errors) }
        return try contents(shop.path("a.cal"))
    }

    /// A folder with statistics in it.
    private static func start() throws -> (Workshop, statistics: String) {
        let shop = try Workshop()
        try OutputFile.write(try gathered.get(), to: shop.path("a.cal"), kind: .anything, replace: false)
        return (shop, shop.path("a.cal"))
    }

    private static func contents(_ path: String) throws -> [UInt8] { try InputFile(path: path).contents(limit: 1 << 28) }
    private static func bytes(_ path: String) throws -> Int { try contents(path).count }

    @Test("a size is kept to one percent, predicted before, and the file is proven and drawn from")
    func targetSize() throws {
        let (shop, statistics) = try Self.start()
        let file = shop.path("a.sprint")
        let predicted = try Tool.run(["convert", Workshop.tiny, "--target-size", "6MB", "--calibration", statistics, "--dry-run", "--json"])
        #expect(predicted.status == 0, "\(predicted.errors)")
        let search = try #require(try predicted.json()["search"])
        #expect(search["goal"]?["bytes"] == 6_000_000)
        let made = try Tool.run(["convert", Workshop.tiny, "-o", file, "--target-size", "6MB", "--calibration", statistics, "--json"])
        #expect(made.status == 0, "\(made.errors)")
        let size = try Self.bytes(file)
        #expect((5_940_000...6_000_000).contains(size), "\(size)")
        let json = try made.json()
        #expect(json["bytes"]?.double == Double(size) && json["search"]?["predicted"]?["velocity"]?.double ?? 0 > 25)
        let (before, found) = (search["predicted"]?["velocity"]?.double ?? 0, json["quality"]?["velocity_db"]?["median"]?.double ?? 0)
        #expect(abs(before - found) < 4, "\(before), \(found)")
        // Equal statistics give equal files, whatever says so.
        let words = ["--force", "--target-size", "6MB", "--calibration", statistics, "--threads", "1"]
        let text = try Tool.run(["convert", Workshop.tiny, "-o", file] + words)
        #expect(try Tool.run(["inspect", file, "--json"]).json()["facts"]?["content hash"] == json["contentHash"] && json["contentHash"] != nil)
        #expect(text.output.contains("\nsearch: predicted ") && text.output.contains(" MB, velocities of "), "\(text.output)")
        #expect(try Tool.run(["inspect", file]).output.contains("int8, searched for at most 6000000 bytes"))
        #expect(try Tool.run(["verify", file, "--against", Workshop.tiny, "-q"]).status == 0)
        #expect(try Tool.run(["generate", file, "--prompt", "a red circle", "--steps", "1", "-o", shop.path("a.png")]).status == 0)
    }

    @Test("a ratio is met by what is measured, by fewer bytes than int8 where it asks for less, by more where it asks for more")
    func minSQNR() throws {
        let (shop, statistics) = try Self.start()
        func made(_ decibels: String) throws -> Int {
            let result = try Tool.run(["convert", Workshop.tiny, "-o", shop.path(decibels), "--min-sqnr", decibels, "--calibration", statistics])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Tool.run(["verify", shop.path(decibels), "--min-sqnr", decibels]).status == 0)
            return try Self.bytes(shop.path(decibels))
        }
        let int8 = try Self.bytes(try shop.packed("int8"))
        let (less, more) = (try made("35"), try made("48"))
        #expect(less < int8 && int8 < more, "\(less), \(int8), \(more)")
    }

    @Test("compact stores some linears of the transformer in four bits, and without statistics none")
    func compact() throws {
        let (shop, statistics) = try Self.start()
        func converted(_ calibration: String) throws -> String {
            let file = shop.path("compact.sprint")
            let words = ["--preset", "compact", "--no-quality", "--force", "--calibration", calibration]
            let made = try Tool.run(["convert", Workshop.tiny, "-o", file] + words)
            #expect(made.status == 0, "\(made.errors)")
            return file
        }
        let searched = try converted(statistics)
        #expect(try Tool.run(["inspect", searched, "--tensors"]).output.contains("int4-balanced, activations int8-per-token"))
        let size = try Self.bytes(searched)
        let blind = try converted("none")
        #expect(try !Tool.run(["inspect", blind, "--tensors"]).output.contains("int4-balanced"))
        #expect(try Self.bytes(blind) > size)
    }

    @Test("what cannot be searched for says what would work")
    func refusals() throws {
        let (shop, statistics) = try Self.start()
        func failure(_ words: [String]) throws -> (Int32, String) {
            let result = try Tool.run(["convert", Workshop.tiny, "-o", shop.path("x.sprint")] + words)
            return (result.status, result.errors)
        }
        let small = try failure(["--target-size", "1MB", "--calibration", statistics])
        #expect(small.0 == 2 && small.1.contains("search: expected at least "), "\(small)")
        let high = try failure(["--min-sqnr", "150", "--calibration", statistics])
        #expect(high.0 == 1 && high.1.contains("expected velocities of 150.0 dB") && high.1.contains("nothing was written"), "\(high)")
        let without = shop.path("b.cal")
        let prompts = shop.path("prompts")
        try OutputFile.write(Array("a cat\n".utf8), to: prompts, kind: .anything, replace: false)
        #expect(try Tool.run(["calibrate", Workshop.tiny, "-o", without, "--no-impacts", "--prompts", prompts]).status == 0)
        let blind = try failure(["--target-size", "5MB", "--calibration", without])
        #expect(blind.0 == 2 && blind.1.contains("expected impacts, which a search goes by, found none"), "\(blind)")
        let rules = shop.path("rules")
        try OutputFile.write(Array("dit.* bf16\n".utf8), to: rules, kind: .anything, replace: false)
        let nothing = try failure(["--target-size", "5MB", "--rules", rules])
        #expect(nothing.0 == 64 && nothing.1.contains("expected linears that no rule decides about"), "\(nothing)")
        #expect(shop.names == ["a.cal", "b.cal", "prompts", "rules"])
    }
}

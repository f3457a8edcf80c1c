import Files
import Foundation
import TestKit

/// A folder for one test, with a copy of the small checkpoint to spoil.
struct Workshop {
    let folder: TemporaryFolder
    static let tiny = Fixtures.path("tiny-sprint")
    /// A smaller one, of the same parts, for what any file shows.
    static let mini = Fixtures.path("mini")
    /// What makes a conversion one of files alone: neither drawn for nor measured.
    static let quick = ["--calibration", "none", "--no-quality"]

    init() throws { folder = try TemporaryFolder() }

    func path(_ name: String) -> String { folder.file(name) }

    /// A copy of tiny-sprint without its traces.
    func checkpoint(_ name: String = "checkpoint") throws -> String {
        let target = path(name)
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        for entry in ["model_index.json", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
            try FileManager.default.copyItem(atPath: "\(Self.tiny)/\(entry)", toPath: "\(target)/\(entry)")
        }
        return target
    }

    /// A packed file of tiny-sprint, unmeasured: a copy of its own of what is converted once for all tests.
    func packed(_ preset: String, _ more: [String] = [], as name: String? = nil) throws -> String {
        let file = path("\(name ?? preset).sprint")
        try Self.conversions.get(["--preset", preset, "--quiet", "--no-quality"] + more).write(to: URL(fileURLWithPath: file))
        return file
    }

    /// What conversions of tiny-sprint write, by their options.
    private static let conversions = Once { (options: [String]) in
        let folder = try TemporaryFolder()
        let result = try Tool.run(["convert", tiny, "-o", folder.file("x.sprint")] + options)
        guard result.status == 0 else { throw Failure(description: result.errors) }
        return try Data(contentsOf: URL(fileURLWithPath: folder.file("x.sprint")))
    }

    /// A verification of an int8 file against its checkpoint: what it printed with --json, and its page.
    static let verified = Result { () throws -> (run: ChildProcess.Result, page: String) in
        let shop = try Workshop()
        let page = shop.path("report.html")
        let run = try Tool.run(["verify", try shop.packed("int8"), "--against", tiny, "--html", page, "--json"])
        return (run, String(decoding: try Data(contentsOf: URL(fileURLWithPath: page)), as: UTF8.self))
    }

    /// The names in the folder, hidden ones included.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted() }

    struct Failure: Error, CustomStringConvertible { let description: String }
}

/// Changes bytes of a file in place.
func patch(_ path: String, at offset: Int, _ change: (inout UInt8) -> Void) throws {
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    defer { try? handle.close() }
    try handle.seek(toOffset: UInt64(offset))
    var byte = try handle.read(upToCount: 1)?.first ?? 0
    change(&byte)
    try handle.seek(toOffset: UInt64(offset))
    try handle.write(contentsOf: Data([byte]))
}

import Files
import Foundation
import TestKit

/// A folder for one test, with a copy of the small checkpoint to spoil.
struct Workshop {
    let folder: TemporaryFolder
    static let tiny = Fixtures.path("tiny-sprint")

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

    /// A packed file of tiny-sprint, unmeasured.
    func packed(_ preset: String, _ more: [String] = []) throws -> String {
        let file = path("\(preset).sprint")
        let result = try Tool.run(["convert", Self.tiny, "-o", file, "--preset", preset, "--quiet", "--no-quality"] + more)
        guard result.status == 0 else { throw Failure(description: result.errors) }
        return file
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

import Files
import Foundation
import StrictJSON

/// Runs the real binary, which lies beside the test bundle.
enum Tool {
    struct Result {
        let status: Int32
        let output: String
        let errors: String

        /// The one JSON object that `--json` prints.
        func json() throws -> JSONValue {
            try JSONValue.parse(Array(output.utf8))
        }
    }

    static let path: String = {
        let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return Paths.join(Paths.parent(of: bundle), "sprintpack")
    }()

    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Result {
        try start(path, arguments: arguments, environment: environment).wait()
    }

    /// Runs a line of shell; `$TOOL` is the binary.
    static func shell(_ line: String) throws -> Result {
        try start("/bin/sh", arguments: ["-c", line], environment: ["TOOL": path]).wait()
    }

    static func start(_ program: String = path, arguments: [String], environment: [String: String] = [:]) throws -> Running {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        // Files, not pipes: nobody has to drain them while the program runs.
        let folder = FileManager.default.temporaryDirectory
        let name = UUID().uuidString
        let running = Running(process: process, output: folder.appendingPathComponent("\(name).out"), errors: folder.appendingPathComponent("\(name).err"))
        for (file, assign) in [
            (running.output, { process.standardOutput = $0 }), (running.errors, { process.standardError = $0 }),
        ] as [(URL, (FileHandle) -> Void)] {
            _ = FileManager.default.createFile(atPath: file.path, contents: nil)
            assign(try FileHandle(forWritingTo: file))
        }
        try process.run()
        return running
    }

    struct Running {
        let process: Process
        let output: URL
        let errors: URL

        func wait() throws -> Result {
            process.waitUntilExit()
            defer {
                try? FileManager.default.removeItem(at: output)
                try? FileManager.default.removeItem(at: errors)
            }
            let status = process.terminationReason == .exit ? process.terminationStatus : 1000 + process.terminationStatus
            return Result(
                status: status, output: String(decoding: try Data(contentsOf: output), as: UTF8.self),
                errors: String(decoding: try Data(contentsOf: errors), as: UTF8.self))
        }
    }
}

import Files
import Foundation
import StrictJSON
import TestKit

/// The real binary, which lies beside the test bundle.
enum Tool {
    static let path = Paths.join(
        Paths.parent(of: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""), "sprintpack")

    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> ChildProcess.Result {
        try start(arguments, environment: environment).wait()
    }

    static func start(_ arguments: [String], environment: [String: String] = [:]) throws -> ChildProcess {
        try ChildProcess([path] + arguments, environment: environment)
    }

    /// Runs a line of shell; `$TOOL` is the binary.
    static func shell(_ line: String) throws -> ChildProcess.Result {
        try ChildProcess.run(["/bin/sh", "-c", line], environment: ["TOOL": path])
    }
}

extension ChildProcess.Result {
    /// The one JSON object that `--json` prints.
    func json() throws -> JSONValue { try JSONValue.parse(Array(output.utf8)) }
}

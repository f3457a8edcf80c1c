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
        try ChildProcess([path] + arguments, environment: withoutCard.merging(environment) { $1 })
    }

    /// Where the program looks for the GPU's driver. A test's results are the CPU's, whatever is in the machine, unless it says otherwise.
    static let driverVariable = "SPRINTPACK_CUDA_LIBRARY"
    private static let withoutCard = [driverVariable: "/nonexistent/libcuda.so.1"]

    /// Runs a line of shell; `$TOOL` is the binary.
    static func shell(_ line: String) throws -> ChildProcess.Result {
        try ChildProcess.run(["/bin/sh", "-c", line], environment: withoutCard.merging(["TOOL": path]) { $1 })
    }
}

extension ChildProcess.Result {
    /// The one JSON object that `--json` prints.
    func json() throws -> JSONValue { try JSONValue.parse(Array(output.utf8)) }
}

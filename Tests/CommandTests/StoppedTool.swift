import Files
import Foundation
import TestKit
import Testing

/// The real binary, stopped at one of its system calls.
struct StoppedTool {
    private let child: ChildProcess
    private let shim: Shim

    /// A call as Shims/stop.c counts them: the `nth` of those whose file has `part` in its path.
    struct Place: CustomStringConvertible {
        let function: String
        var nth = 1
        var part = "/"
        /// Whether the thread that makes the call stays where it is for good.
        var holds = false

        var description: String { "\(function) \(nth) \(part)\(holds ? " hold" : "")" }
    }

    /// Starts the tool and waits until it stops there.
    /// - Throws: where it ends before.
    init(_ arguments: [String], at place: Place) throws {
        shim = try Shim("stop")
        child = try Tool.start(arguments, environment: shim.environment.merging(["STOP_AT": "\(place)"]) { $1 })
        guard child.waitForStop() else { throw Missed(description: "not stopped at \(place): \(try child.wait())") }
    }

    /// Sends a signal, which waits until the tool goes on.
    func send(_ signal: Int32) { child.send(signal) }

    /// Lets it go on, to its end.
    func finish() throws -> ChildProcess.Result {
        child.send(SIGCONT)
        return try child.wait()
    }

    struct Missed: Error, CustomStringConvertible { let description: String }
}

/// A library of Shims, which is loaded before the C library and takes the place of some of its functions.
struct Shim {
    private let folder: TemporaryFolder
    /// What makes a program load it.
    let environment: [String: String]

    init(_ name: String) throws {
        folder = try TemporaryFolder()
        let library = folder.file("shim.so")
        try Self.libraries.get(name).write(to: URL(fileURLWithPath: library))
        environment = ["LD_PRELOAD": library]
    }

    private static let libraries = Once { (name: String) in
        let folder = try TemporaryFolder()
        let source = Paths.join(Paths.parent(of: #filePath), "Shims/\(name).c")
        let built = try ChildProcess.run(["clang", "-shared", "-fPIC", "-O1", source, "-o", folder.file("shim.so")])
        guard built.status == 0 else { throw Failure(description: built.errors) }
        return try Data(contentsOf: URL(fileURLWithPath: folder.file("shim.so")))
    }

    /// Runs the tool with it.
    func run(_ arguments: [String]) throws -> ChildProcess.Result {
        defer { withExtendedLifetime(folder) {} }
        return try Tool.run(arguments, environment: environment)
    }

    struct Failure: Error, CustomStringConvertible { let description: String }
}

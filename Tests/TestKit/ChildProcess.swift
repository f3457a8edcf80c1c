import Files
package import Glibc

/// A program that a test runs: spawned and waited for by the two system calls alone.
///
/// Not Foundation's `Process`, whose run loop can miss the end of a child while other tests spawn theirs, and then waits for ever.
package struct ChildProcess {
    package let identifier: pid_t
    private let folder: TemporaryFolder

    /// The end of a program and what it wrote.
    package struct Result: Sendable {
        /// The exit code, or 1000 and the number of the signal that ended it.
        package let status: Int32
        package let bytes: [UInt8]
        package let errors: String

        package var output: String { String(decoding: bytes, as: UTF8.self) }
    }

    package struct SpawnFailure: Error, CustomStringConvertible { package let description: String }

    /// Starts `arguments[0]`, found by PATH, with no input.
    /// - Parameter environment: entries "NAME=value" besides the test's own.
    package init(_ arguments: [String], environment: [String: String] = [:]) throws {
        folder = try TemporaryFolder()
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        // Files, not pipes: nobody has to drain them while the program runs.
        unsafe posix_spawn_file_actions_addopen(&actions, 1, folder.file("output"), O_WRONLY | O_CREAT, 0o600)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, folder.file("errors"), O_WRONLY | O_CREAT, 0o600)
        var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
        var variables = unsafe Self.inherited(except: environment) + environment.map { unsafe strdup("\($0)=\($1)") } + [nil]
        defer { unsafe (words + variables).forEach { unsafe free($0) } }
        var identifier = pid_t()
        let code = unsafe posix_spawnp(&identifier, arguments[0], &actions, nil, &words, &variables)
        guard code == 0 else { throw SpawnFailure(description: "\(arguments[0]): \(unsafe String(cString: strerror(code)))") }
        self.identifier = identifier
    }

    package func send(_ signal: Int32) { kill(identifier, signal) }

    /// Waits until a signal stops the program; false where it ends instead. `wait` still gives the end.
    package func waitForStop() -> Bool {
        var state = unsafe siginfo_t()
        while unsafe waitid(P_PID, id_t(identifier), &state, WSTOPPED | WEXITED | WNOWAIT) < 0 && errno == EINTR {}
        return unsafe state.si_code == CLD_STOPPED
    }

    /// Waits for the end.
    package func wait() throws -> Result {
        var status: Int32 = 0
        while unsafe waitpid(identifier, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7F
        return Result(
            status: signal == 0 ? status >> 8 & 0xFF : 1000 + signal, bytes: try contents("output"),
            errors: String(decoding: try contents("errors"), as: UTF8.self))
    }

    /// Runs a program to its end.
    package static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Result {
        try ChildProcess(arguments, environment: environment).wait()
    }

    private func contents(_ name: String) throws -> [UInt8] { try InputFile(path: folder.file(name)).contents(limit: 1 << 28) }

    private static func inherited(except replaced: [String: String]) -> [UnsafeMutablePointer<CChar>?] {
        var entries: [UnsafeMutablePointer<CChar>?] = unsafe []
        var next = unsafe environ
        while let entry = unsafe next.pointee {
            let text = unsafe String(cString: entry)
            if !replaced.keys.contains(where: { text.hasPrefix($0 + "=") }) { unsafe entries.append(strdup(text)) }
            unsafe next += 1
        }
        return unsafe entries
    }
}

/// The exit codes of the command line, as `--help` lists them.
enum ExitStatus: Int32 {
    case ok = 0
    /// It ran, and parity or verification failed: damaged or different content.
    case failed = 1
    /// It could not: I/O, a file that cannot be parsed, a size off the latent grid.
    case couldNot = 2
    /// An option value that no file could make right.
    case usage = 64
    case interrupted = 130
}

/// An error with the exit code it leads to.
struct CommandFailure: Error, CustomStringConvertible {
    let status: ExitStatus
    let description: String

    /// A wrong option value.
    static func usage(_ message: String) -> CommandFailure { CommandFailure(status: .usage, description: message) }
    /// Verification or parity failed; the findings have been printed.
    static func failed(_ message: String) -> CommandFailure { CommandFailure(status: .failed, description: message) }
    static func couldNot(_ message: String) -> CommandFailure { CommandFailure(status: .couldNot, description: message) }
}

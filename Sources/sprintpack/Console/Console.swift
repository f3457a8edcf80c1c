import Glibc

/// Standard output for results, standard error for talk.
enum Console {
    /// Writes a line of the result. A reader that has gone away (`| head`) ends the program quietly, as a success.
    static func result(_ line: String) { write(line + "\n", to: STDOUT_FILENO) }

    /// Writes a line for the person at the terminal.
    static func say(_ line: String) {
        ProgressBar.erase()
        write(line + "\n", to: STDERR_FILENO)
    }

    static func warn(_ message: String) { say("sprintpack: warning: \(message)") }

    /// Whether standard error is a terminal that understands cursor movement.
    static let isTerminal = isatty(STDERR_FILENO) == 1 && environment("TERM") != "dumb"

    static func environment(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                bytes = bytes.dropFirst(count)
            } else if errno == EPIPE && descriptor == STDOUT_FILENO {
                exit(0)
            } else if errno != EINTR {
                // Nowhere left to say it; a result that cannot be written is a failure all the same.
                exit(descriptor == STDOUT_FILENO ? ExitStatus.couldNot.rawValue : 0)
            }
        }
    }
}

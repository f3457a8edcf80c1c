import Glibc

/// Standard output for results, standard error for talk.
enum Console {
    /// Writes the result to standard output. A reader that has gone away (`| head`) is no failure.
    /// - Parameters:
    ///   - data: what goes there instead of the text, which standard error gets then.
    ///   - outputs: what is complete whether or not this can be written: then a line on standard error says so.
    /// - Returns: whether the result is where it should be.
    static func result(_ text: String, data: [UInt8]? = nil, outputs: [String] = []) -> Bool {
        let line = text.isEmpty ? "" : text + "\n"
        if data != nil { write(line, to: STDERR_FILENO) }
        let code = write(data ?? Array(line.utf8), to: STDOUT_FILENO)
        guard code != 0, code != EPIPE else { return true }
        let reason = unsafe String(cString: strerror(code))
        let rest = outputs.isEmpty ? "" : "; complete: \(outputs.joined(separator: ", "))"
        say("sprintpack: error: standard output: \(reason)\(rest)")
        return false
    }

    /// Writes a line for the person at the terminal.
    static func say(_ line: String) { ProgressBar.write(line + "\n") }

    static func warn(_ message: String) { say("sprintpack: warning: \(message)") }

    /// Whether standard error is a terminal that understands cursor movement.
    static let isTerminal = isatty(STDERR_FILENO) == 1 && environment("TERM") != "dumb"

    static func environment(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    /// Writes where a failure could not be told anyone.
    static func write(_ text: String, to descriptor: Int32) { _ = write(Array(text.utf8), to: descriptor) }

    /// - Returns: errno, 0 for success.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        var bytes = bytes[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                bytes = bytes.dropFirst(count)
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
    }

    /// Gives what the caller closed a descriptor that refuses: else the first file that is opened would get its number, and with it the result's text.
    static func holdStandardDescriptors() {
        for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(number, F_GETFD) < 0 {
            // Write-only for what is read, read-only for what is written; the lowest free number is this one.
            _ = unsafe open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}

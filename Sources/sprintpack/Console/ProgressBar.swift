import Glibc
import Synchronization

/// One line on standard error with a bar, the rate and the time left; shown only on a terminal, at most ten times a second.
final class ProgressBar: Sendable {
    private let title: String
    private let unit: Unit
    private let start = ProgressBar.now()
    private let lastDrawn = Mutex<Double>(-1)
    private let isShown: Bool

    enum Unit: Sendable {
        case bytes
        case steps
    }

    /// The last line of the terminal: whether a bar stands there, which has to go before other text. Who writes there holds it.
    private static let line = Mutex(false)
    private static let blank = "\r\u{1B}[K"

    init(_ title: String, unit: Unit = .bytes, isShown: Bool) {
        self.title = title
        self.unit = unit
        self.isShown = isShown && Console.isTerminal
    }

    func update(_ done: UInt64, of total: UInt64) {
        guard isShown, total > 0 else { return }
        let elapsed = Self.now() - start
        let isDue = lastDrawn.withLock { last in
            guard elapsed - last >= 0.1 || done == total else { return false }
            last = elapsed
            return true
        }
        guard isDue else { return }
        let fraction = min(1, Double(done) / Double(total))
        let width = 28
        let filled = Int(fraction * Double(width))
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled)
        let rate = elapsed > 0 ? Double(done) / elapsed : 0
        let left = rate > 0 ? (Double(total) - Double(done)) / rate : 0
        let speed =
            switch unit {
            case .bytes: "\(ByteCount.text(done)) of \(ByteCount.text(total)), \(ByteCount.text(UInt64(rate)))/s"
            case .steps: "\(done) of \(total)"
            }
        let text = "\(Self.blank)\(title) [\(bar)] \(Int(fraction * 100)) %  \(speed)  \(Self.duration(left)) left"
        Self.line.withLock { isTaken in
            isTaken = true
            Console.write(text, to: STDERR_FILENO)
        }
    }

    /// A line of words in the place of a bar, until the next.
    static func hint(_ words: String) {
        guard Console.isTerminal else { return }
        line.withLock { isTaken in
            isTaken = true
            Console.write(blank + words, to: STDERR_FILENO)
        }
    }

    func finish() { Self.erase() }

    static func erase() { write("") }

    /// Writes to standard error, in the place of a bar where there is one.
    static func write(_ text: String) { line.withLock { replace(&$0, text) } }

    /// Erases a bar unless somebody writes, and may never end to: for a process that has to.
    static func eraseIfIdle() { _ = line.withLockIfAvailable { replace(&$0, "") } }

    private static func replace(_ isTaken: inout Bool, _ text: String) {
        Console.write((isTaken ? blank : "") + text, to: STDERR_FILENO)
        isTaken = false
    }

    /// Seconds on the monotonic clock.
    static func now() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    static func duration(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded(.up))
        return whole < 60 ? "\(whole) s" : "\(whole / 60) min \(whole % 60) s"
    }
}

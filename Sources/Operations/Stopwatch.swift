import Glibc
package import Tensors

/// Points in what an executor was asked for, and the time between them.
package protocol Stopwatch: AnyObject {
    /// Marks the end of what was asked for so far, and does not wait for it.
    func mark() throws(MachineError)
    /// Seconds from the first mark to each; waits for the last.
    func seconds() throws(MachineError) -> [Double]
}

/// Of an executor that has done what it was asked for: this machine's clock.
package final class HostStopwatch: Stopwatch {
    private var times: [Double] = []

    package init() {}

    package func mark() {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        times.append(Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9)
    }

    package func seconds() -> [Double] { times.map { $0 - times[0] } }
}

extension Executor {
    package func stopwatch() -> any Stopwatch { HostStopwatch() }
}

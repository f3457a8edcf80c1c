internal import CUDADriver
package import Operations
package import Tensors

/// The device's own clock, read by events between launches: nobody waits before the end.
final class EventStopwatch: Stopwatch {
    private let engine: Engine
    private var events: [TimedEvent] = []

    init(_ engine: Engine) { self.engine = engine }

    func mark() throws(MachineError) {
        events.append(try onDevice { () throws(DeviceError) in try TimedEvent(after: engine.work()) })
    }

    func seconds() throws(MachineError) -> [Double] {
        guard let first = events.first, let last = events.last else { return [] }
        return try onDevice { () throws(DeviceError) in
            try last.synchronize()
            var seconds = [0.0]
            for event in events.dropFirst() { seconds.append(try event.seconds(since: first)) }
            return seconds
        }
    }
}

extension CUDA {
    package func stopwatch() -> any Stopwatch { EventStopwatch(engine) }
}

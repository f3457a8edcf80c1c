internal import CCUDA

/// Work of a stream that was recorded once and is queued as one: the addresses and arguments of the recording.
@safe package final class Graph: @unchecked Sendable {  // a handle that never changes
    private let device: Device
    private let executable: UnsafeMutableRawPointer

    /// Records what `work` gives the stream, and does none of it. Memory is not allocated, and nothing is waited for meanwhile.
    package init(recording stream: Stream, _ work: () throws(DeviceError) -> Void) throws(DeviceError) {
        let device = stream.device
        try device.call("cuStreamBeginCapture", "to record") { unsafe $0.beginCapture(stream.handle, CInt(CU_CAPTURE_THREAD_LOCAL)) }
        do {
            try work()
        } catch {
            // The stream works again only when its recording has ended.
            var graph: UnsafeMutableRawPointer?
            device.giveBack { unsafe $0.endCapture(stream.handle, &graph) }
            if let graph = unsafe graph { device.giveBack { unsafe $0.destroyGraph(graph) } }
            throw error
        }
        let graph = try unsafe device.make("cuStreamEndCapture", "the recording") { unsafe $0.endCapture(stream.handle, $1) }
        defer { device.giveBack { unsafe $0.destroyGraph(graph) } }
        unsafe executable = try unsafe device.make("cuGraphInstantiate", "the recording") { unsafe $0.instantiate($1, graph, 0) }
        self.device = device
    }

    deinit { device.giveBack { unsafe $0.destroyExecutable(executable) } }

    /// Queues the recorded work behind the stream's work so far.
    package func launch(on stream: Stream) throws(DeviceError) {
        try device.call("cuGraphLaunch", "the recording") { unsafe $0.launchGraph(executable, stream.handle) }
    }
}

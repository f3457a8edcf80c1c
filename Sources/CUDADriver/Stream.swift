internal import CCUDA

/// Work of a device in order. Calls return before the work is done; a failure of the work itself is thrown by a later call.
@safe package final class Stream: @unchecked Sendable {  // a handle that never changes
    package let device: Device
    let handle: UnsafeMutableRawPointer

    package init(_ device: Device) throws(DeviceError) {
        unsafe handle = try unsafe device.make("cuStreamCreate", "a stream") { unsafe $0.createStream($1, UInt32(CU_STREAM_NON_BLOCKING)) }
        self.device = device
    }

    deinit { device.giveBack { unsafe $0.destroyStream(handle) } }

    /// Waits until all work so far is done.
    package func synchronize() throws(DeviceError) {
        try device.call("cuStreamSynchronize", "to finish") { unsafe $0.synchronize(handle) }
    }

    /// Has all work to come wait for an event, on whatever stream that is.
    package func wait(for event: Event) throws(DeviceError) {
        try device.call("cuStreamWaitEvent", "to wait for other work") { unsafe $0.waitForEvent(handle, event.handle, 0) }
    }

    /// Copies between two places on the device that do not overlap.
    package func copy(_ from: DeviceSlice, to: DeviceSlice) throws(DeviceError) {
        precondition(from.byteCount == to.byteCount, "a copy is as large as what it copies")
        guard from.byteCount > 0 else { return }
        try device.call("cuMemcpyDtoDAsync", "a copy of \(from.byteCount) bytes") { unsafe $0.copy(to.address, from.address, from.byteCount, handle) }
    }

    /// Copies rows of so many bytes between two places on the device that do not overlap; those of a place begin `pitch` bytes behind one another.
    package func copy(
        rows: Int, of rowBytes: Int, from: DeviceSlice, pitch fromPitch: Int, to: DeviceSlice, pitch toPitch: Int
    ) throws(DeviceError) {
        guard rows > 0, rowBytes > 0 else { return }
        precondition(rowBytes <= fromPitch && from.byteCount >= (rows - 1) * fromPitch + rowBytes, "rows lie within what they are copied from")
        precondition(rowBytes <= toPitch && to.byteCount >= (rows - 1) * toPitch + rowBytes, "rows fit their place")
        var copy = unsafe cu_copy_2d()
        (unsafe copy.fromType, unsafe copy.fromDevice, unsafe copy.fromPitch) = (UInt32(CU_DEVICE), from.address, fromPitch)
        (unsafe copy.toType, unsafe copy.toDevice, unsafe copy.toPitch) = (UInt32(CU_DEVICE), to.address, toPitch)
        (unsafe copy.width, unsafe copy.height) = (rowBytes, rows)
        try device.call("cuMemcpy2DAsync", "a copy of \(rows) rows of \(rowBytes) bytes") { unsafe $0.copy2D(&copy, handle) }
    }

    package func fill(_ slice: DeviceSlice, with byte: UInt8) throws(DeviceError) {
        guard slice.byteCount > 0 else { return }
        try device.call("cuMemsetD8Async", "to fill \(slice.byteCount) bytes") { unsafe $0.fill(slice.address, byte, slice.byteCount, handle) }
    }

    /// Copies to the device and waits; `Uploads` does not wait.
    package func upload(_ bytes: UnsafeRawBufferPointer, to slice: DeviceSlice) throws(DeviceError) {
        precondition(bytes.count == slice.byteCount, "what is copied is as large as its place")
        guard let start = bytes.baseAddress, slice.byteCount > 0 else { return }
        try device.call("cuMemcpyHtoDAsync", "a copy of \(slice.byteCount) bytes") { unsafe $0.copyIn(slice.address, start, slice.byteCount, handle) }
        try synchronize()
    }

    /// Copies from the device, after all work so far, and waits.
    package func download(_ slice: DeviceSlice, to bytes: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        precondition(bytes.count == slice.byteCount, "what is copied is as large as its place")
        guard let start = bytes.baseAddress, slice.byteCount > 0 else { return try synchronize() }
        try device.call("cuMemcpyDtoHAsync", "a copy of \(slice.byteCount) bytes") { unsafe $0.copyOut(start, slice.address, slice.byteCount, handle) }
        try synchronize()
    }
}

/// A point in a stream's work that others wait for.
@safe package final class Event: @unchecked Sendable {  // a handle that never changes
    fileprivate let device: Device
    fileprivate let handle: UnsafeMutableRawPointer

    /// What the stream has been given so far.
    package convenience init(after stream: Stream) throws(DeviceError) { try self.init(after: stream, isTimed: false) }

    fileprivate init(after stream: Stream, isTimed: Bool) throws(DeviceError) {
        device = stream.device
        unsafe handle = try unsafe device.make("cuEventCreate", "an event") { unsafe $0.createEvent($1, isTimed ? 0 : UInt32(CU_EVENT_NO_TIMING)) }
        try record(after: stream)
    }

    deinit { device.giveBack { unsafe $0.destroyEvent(handle) } }

    /// Moves the event to the end of what the stream has been given so far.
    package func record(after stream: Stream) throws(DeviceError) {
        try device.call("cuEventRecord", "an event") { unsafe $0.recordEvent(handle, stream.handle) }
    }

    /// Waits until the work before it is done.
    package func synchronize() throws(DeviceError) {
        try device.call("cuEventSynchronize", "to finish") { unsafe $0.synchronizeEvent(handle) }
    }
}

/// A point in a stream's work with the time at which the device came to it.
package struct TimedEvent: Sendable {
    private let event: Event

    package init(after stream: Stream) throws(DeviceError) { event = try Event(after: stream, isTimed: true) }

    package func synchronize() throws(DeviceError) { try event.synchronize() }

    /// The time between two points that the device has come to.
    package func seconds(since start: TimedEvent) throws(DeviceError) -> Double {
        var milliseconds: Float = 0
        try event.device.call("cuEventElapsedTime", "the time between two events") {
            unsafe $0.elapsed(&milliseconds, start.event.handle, event.handle)
        }
        return Double(milliseconds) / 1e3
    }
}

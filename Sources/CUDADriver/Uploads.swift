internal import CCUDA
internal import Synchronization

/// Copies to the device through pinned memory: while a piece is on its way, the next one is made. One thread uploads at a time.
@safe package final class Uploads: @unchecked Sendable {  // the mutex guards all that changes, pinned memory too
    private let stream: Stream
    /// Bytes of a piece at most.
    package let pieceBytes: Int
    private let pinned: UnsafeMutableRawPointer
    private struct Slots: Sendable {
        /// When the piece that was last in a slot has been copied; nil before the first.
        var copied: [Event?]
        var next = 0
    }
    private let slots: Mutex<Slots>

    /// - Parameters:
    ///   - pieceBytes: of each of the slots.
    ///   - slots: how many pieces are on their way at once.
    package init(_ stream: Stream, pieceBytes: Int = 4 << 20, slots: Int = 3) throws(DeviceError) {
        precondition(pieceBytes > 0 && slots > 0)
        let total = pieceBytes * slots
        unsafe pinned = try unsafe stream.device.make("cuMemHostAlloc", "\(total) bytes of pinned memory") { unsafe $0.allocateHost($1, total, 0) }
        (self.stream, self.pieceBytes) = (stream, pieceBytes)
        self.slots = Mutex(Slots(copied: Array(repeating: nil, count: slots)))
    }

    deinit {
        // The memory goes when the last copy out of it is done; a failure of that is thrown by the stream's next call.
        for event in slots.withLock({ $0.copied }) { try? event?.synchronize() }
        stream.device.giveBack { unsafe $0.releaseHost(pinned) }
    }

    /// Fills a place on the device from front to back.
    /// - Parameter make: writes the bytes that belong at this offset of the place.
    package func upload(to slice: DeviceSlice, make: (_ offset: Int, _ bytes: UnsafeMutableRawBufferPointer) -> Void) throws(DeviceError) {
        try slots.withLock { slots throws(DeviceError) in
            for offset in stride(from: 0, to: slice.byteCount, by: pieceBytes) {
                let count = min(pieceBytes, slice.byteCount - offset)
                let place = try unsafe self.place(&slots)
                unsafe make(offset, UnsafeMutableRawBufferPointer(start: place, count: count))
                let address = slice.address + UInt64(offset)
                try stream.device.call("cuMemcpyHtoDAsync", "a copy of \(count) bytes") { unsafe $0.copyIn(address, place, count, stream.handle) }
                try sent(&slots)
            }
        }
    }

    /// The same of rows of which each begins `pitch` bytes behind the one before; what lies between rows is left as it is.
    /// - Parameter make: writes these rows, one right behind the other.
    package func upload(
        rows: Int, of rowBytes: Int, to slice: DeviceSlice, pitch: Int, make: (_ rows: Range<Int>, _ bytes: UnsafeMutableRawBufferPointer) -> Void
    ) throws(DeviceError) {
        precondition(rowBytes > 0 && rowBytes <= pieceBytes && rowBytes <= pitch && slice.byteCount >= rows * pitch, "rows fit their place and a piece")
        let most = pieceBytes / rowBytes
        try slots.withLock { slots throws(DeviceError) in
            for first in stride(from: 0, to: rows, by: most) {
                let count = min(most, rows - first)
                let place = try unsafe self.place(&slots)
                unsafe make(first..<first + count, UnsafeMutableRawBufferPointer(start: place, count: count * rowBytes))
                var copy = unsafe cu_copy_2d()
                (unsafe copy.fromType, unsafe copy.fromHost, unsafe copy.fromPitch) = (UInt32(CU_HOST), UnsafeRawPointer(place), rowBytes)
                (unsafe copy.toType, unsafe copy.toDevice, unsafe copy.toPitch) = (UInt32(CU_DEVICE), slice.address + UInt64(first * pitch), pitch)
                (unsafe copy.width, unsafe copy.height) = (rowBytes, count)
                try stream.device.call("cuMemcpy2DAsync", "a copy of \(count) rows of \(rowBytes) bytes") { unsafe $0.copy2D(&copy, stream.handle) }
                try sent(&slots)
            }
        }
    }

    /// The next slot, as soon as its last piece has been copied.
    private func place(_ slots: inout Slots) throws(DeviceError) -> UnsafeMutableRawPointer {
        try slots.copied[slots.next]?.synchronize()
        return unsafe pinned + slots.next * pieceBytes
    }

    private func sent(_ slots: inout Slots) throws(DeviceError) {
        if let event = slots.copied[slots.next] { try event.record(after: stream) } else { slots.copied[slots.next] = try Event(after: stream) }
        slots.next = (slots.next + 1) % slots.copied.count
    }
}

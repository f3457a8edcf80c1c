internal import CCUDA

/// One allocation on a device, released with its last reference: not before what reads it has been waited for.
package final class DeviceMemory: Sendable {
    package let device: Device
    package let address: UInt64
    package let byteCount: Int

    /// Memory of unknown content, aligned to 256 bytes.
    package init(_ device: Device, byteCount: Int) throws(DeviceError) {
        precondition(byteCount > 0, "an allocation has bytes")
        var address: cu_address = 0
        do {
            try device.call("cuMemAlloc", "\(byteCount) bytes") { unsafe $0.allocate(&address, byteCount) }
        } catch {
            guard case .refused(_, _, _, let code, _) = error, code == CU_OUT_OF_MEMORY else { throw error }
            let memory = try device.memory()
            throw .outOfMemory(byteCount: byteCount, free: memory.free, total: memory.total)
        }
        (self.device, self.address, self.byteCount) = (device, address, byteCount)
    }

    deinit { device.giveBack { $0.release(address) } }

    /// All of it.
    package var slice: DeviceSlice { DeviceSlice(memory: self, offset: 0, byteCount: byteCount) }
}

/// A part of an allocation, which it keeps.
package struct DeviceSlice: Sendable {
    package let memory: DeviceMemory
    package let offset: Int
    package let byteCount: Int

    fileprivate init(memory: DeviceMemory, offset: Int, byteCount: Int) {
        (self.memory, self.offset, self.byteCount) = (memory, offset, byteCount)
    }

    package var address: UInt64 { memory.address + UInt64(offset) }

    /// A part of the part.
    package subscript(_ range: Range<Int>) -> DeviceSlice {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "a slice lies within its memory")
        return DeviceSlice(memory: memory, offset: offset + range.lowerBound, byteCount: range.count)
    }
}

/// An allocation that is given out from front to back and taken back to a mark: what a stage takes has the same addresses in each run, so that a
/// captured graph stays valid.
package struct Arena: Sendable {
    /// What every part is aligned to.
    package static let alignment = 256

    private let memory: DeviceMemory
    /// Bytes given out so far: the mark to go back to.
    package private(set) var mark = 0
    /// The most that was given out at once.
    package private(set) var peak = 0

    package init(_ device: Device, byteCount: Int) throws(DeviceError) {
        memory = try DeviceMemory(device, byteCount: byteCount)
    }

    package var byteCount: Int { memory.byteCount }

    /// The next bytes, of unknown content.
    package mutating func take(_ byteCount: Int) throws(DeviceError) -> DeviceSlice {
        precondition(byteCount >= 0)
        guard byteCount <= memory.byteCount - mark else {
            throw .outOfMemory(byteCount: byteCount, free: memory.byteCount - mark, total: memory.byteCount)
        }
        let slice = memory.slice[mark..<mark + byteCount]
        mark = min(memory.byteCount, (mark + byteCount + Self.alignment - 1) / Self.alignment * Self.alignment)
        peak = max(peak, mark)
        return slice
    }

    /// Takes back what was given out since; nobody uses it any more but work that is before all that follows on the same stream.
    package mutating func reset(to mark: Int = 0) {
        precondition(mark >= 0 && mark <= self.mark)
        self.mark = mark
    }
}

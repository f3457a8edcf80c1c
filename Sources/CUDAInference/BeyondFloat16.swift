internal import CUDADriver
internal import Synchronization
package import Tensors

/// Where kernels leave the first layer whose inputs float16 has no number for, and the layers' names by the numbers that they leave.
///
/// Nobody waits for it by itself: it is read where values leave the device, so that none that came of such inputs is taken for a result.
final class BeyondFloat16: Sendable {
    private let device: Device
    private let stream: Stream
    private struct State {
        var place: DeviceMemory?
        /// The first has the number 1.
        var names: [String] = []
    }
    private let state = Mutex(State())

    init(_ device: Device, _ stream: Stream) { (self.device, self.stream) = (device, stream) }

    /// The number of a layer.
    func number(of name: String) throws(MachineError) -> UInt32 {
        try onDevice { () throws(DeviceError) in
            try state.withLock { state throws(DeviceError) in
                if state.place == nil {
                    let place = try DeviceMemory(device, byteCount: MemoryLayout<UInt32>.size)
                    try stream.fill(place.slice, with: 0)
                    state.place = place
                }
                if let known = state.names.firstIndex(of: name) { return UInt32(known + 1) }
                state.names.append(name)
                return UInt32(state.names.count)
            }
        }
    }

    /// Where its number is left.
    var address: UInt64 {
        guard let place = state.withLock({ $0.place }) else { preconditionFailure("layers have numbers before they compute") }
        return place.address
    }

    /// Waits for all work so far, and throws where a layer has left its number; then there is none again.
    func check() throws(MachineError) {
        guard let place = state.withLock({ $0.place }) else { return }
        var number: UInt32 = 0
        try onDevice { () throws(DeviceError) in
            try unsafe withUnsafeMutableBytes(of: &number) { bytes throws(DeviceError) in try unsafe stream.download(place.slice, to: bytes) }
        }
        guard number > 0 else { return }
        try onDevice { () throws(DeviceError) in try stream.fill(place.slice, with: 0) }
        throw .beyondFloat16("inputs of \(state.withLock { $0.names[Int(number) - 1] })")
    }
}

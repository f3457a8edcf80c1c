package import CUDADriver
package import Tensors

/// What keeps a GPU from computing: the device's reason, or the host's memory.
package enum CUDAError: Error, Sendable, Equatable, CustomStringConvertible {
    case device(DeviceError)
    case machine(MachineError)

    package var description: String {
        switch self {
        case .device(let error): "\(error)"
        case .machine(let error): "\(error)"
        }
    }
}

/// Calls of the driver and of the host's memory, in the terms of this room.
func onDevice<Value>(_ body: () throws(DeviceError) -> Value) throws(CUDAError) -> Value {
    do { return try body() } catch { throw .device(error) }
}
func onHost<Value>(_ body: () throws(MachineError) -> Value) throws(CUDAError) -> Value {
    do { return try body() } catch { throw .machine(error) }
}

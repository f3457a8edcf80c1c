internal import CUDADriver
internal import Tensors

/// Calls of the driver. What it refuses, memory too, goes on in its own words.
func onDevice<Value>(_ body: () throws(DeviceError) -> Value) throws(MachineError) -> Value {
    do { return try body() } catch { throw .device("\(error)") }
}

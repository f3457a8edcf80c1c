/// What stands between a program and a GPU. Each text says what was expected, what was found and what to do.
package enum DeviceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The library could not be loaded, for a reason the system gave.
    case noDriver(library: String, reason: String)
    /// CUDA's version as the driver says it, 12040 for 12.4, or a call that it lacks.
    case driverTooOld(found: String)
    case noDevice(index: Int, count: Int)
    case deviceTooOld(name: String, major: Int, minor: Int)
    case outOfMemory(byteCount: Int, free: Int, total: Int)
    /// Everything else that a call refused, with CUDA's name of it; `subject` is what the call was for.
    case refused(call: String, subject: String, name: String, code: Int, text: String)

    package var description: String {
        switch self {
        case .noDriver(let library, let reason):
            "no NVIDIA driver was found: \(library) cannot be loaded (\(reason)); install the driver of the graphics card, or compute on the CPU"
        case .driverTooOld(let found):
            "the NVIDIA driver is too old: expected one for CUDA 11.4 or newer, found \(found); install driver 470 or newer, or compute on the CPU"
        case .noDevice(let index, let count):
            count == 0
                ? "the NVIDIA driver sees no GPU; make one visible to this process, or compute on the CPU"
                : "there is no GPU \(index): expected a number from 0 to \(count - 1)"
        case .deviceTooOld(let name, let major, let minor):
            "\(name) is too old: expected compute capability 8.0 or newer (RTX 30 series, A100), found \(major).\(minor); use another GPU, or compute on the CPU"
        case .outOfMemory(let byteCount, let free, let total):
            "out of GPU memory: expected \(byteCount) bytes more, found \(free) of \(total) free; "
                + "end other programs that use the GPU, ask for less, or compute on the CPU"
        case .refused(let call, let subject, let name, let code, let text):
            "the GPU refused \(subject): \(call) gave \(name) (\(code)), \(text); run again, and if it stays so, compute on the CPU and report this line"
        }
    }
}

internal import CCUDA

/// Kernels of a device, made from PTX text by the driver: the first time on a machine in seconds, then from the driver's cache.
@safe package final class Module: @unchecked Sendable {  // a handle that never changes
    package let device: Device
    private let name: String
    private let handle: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - name: what errors call it.
    ///   - text: PTX, with a zero at its end.
    package init(_ device: Device, name: String, text: UnsafePointer<CChar>) throws(DeviceError) {
        var log = [CChar](repeating: 0, count: 4096)
        var options = [CInt(CU_JIT_ERROR_LOG), CInt(CU_JIT_ERROR_LOG_BYTES)]
        let bytes = unsafe UnsafeMutableRawPointer(bitPattern: log.count)
        do {
            unsafe handle = try unsafe device.make("cuModuleLoadDataEx", "the kernels of \(name)") { driver, module in
                unsafe log.withUnsafeMutableBytes { log in
                    var values = unsafe [log.baseAddress, bytes]
                    return unsafe driver.loadModule(module, text, 2, &options, &values)
                }
            }
        } catch {
            let said = Device.text(log)
            guard case .refused(let call, let subject, let name, let code, let text) = error, !said.isEmpty else { throw error }
            throw .refused(call: call, subject: subject, name: name, code: code, text: "\(text): \(said)")
        }
        (self.device, self.name) = (device, name)
    }

    deinit { device.giveBack { unsafe $0.unloadModule(handle) } }

    /// A kernel by its name.
    /// - Parameters:
    ///   - threads: of a block.
    ///   - sharedBytes: of a block, beside what the kernel declares itself.
    package func kernel(_ entry: String, threads: Int, sharedBytes: Int = 0) throws(DeviceError) -> Kernel {
        let subject = "the kernel \(entry) of \(name)"
        let function = try unsafe device.make("cuModuleGetFunction", subject) { unsafe $0.function($1, handle, entry) }
        // Without being asked for, a block may have 48 KiB.
        if sharedBytes > 48 << 10 {
            try device.call("cuFuncSetAttribute", "\(sharedBytes) bytes of shared memory for \(entry)") {
                unsafe $0.setFunctionAttribute(function, CInt(CU_FUNCTION_DYNAMIC_SHARED), CInt(sharedBytes))
            }
        }
        return unsafe Kernel(module: self, name: entry, function: function, threads: UInt32(threads), sharedBytes: UInt32(sharedBytes))
    }
}

/// A kernel with its block. Its parameter is one structure.
@safe package struct Kernel: @unchecked Sendable {  // a handle that never changes
    private let module: Module
    package let name: String
    private let function: UnsafeMutableRawPointer
    private let threads: UInt32
    private let sharedBytes: UInt32

    fileprivate init(module: Module, name: String, function: UnsafeMutableRawPointer, threads: UInt32, sharedBytes: UInt32) {
        (self.module, self.name, self.threads, self.sharedBytes) = (module, name, threads, sharedBytes)
        unsafe self.function = unsafe function
    }

    /// Queues the kernel behind the stream's work so far. A grid without blocks is no work.
    /// - Parameter argument: the kernel's parameter, in the layout of C; it is copied.
    package func launch<Argument: BitwiseCopyable>(on stream: Stream, grid: (x: Int, y: Int, z: Int), _ argument: Argument) throws(DeviceError) {
        guard grid.x > 0, grid.y > 0, grid.z > 0 else { return }
        var argument = argument
        try stream.device.call("cuLaunchKernel", "the kernel \(name)") { driver in
            unsafe withUnsafeMutableBytes(of: &argument) { bytes in
                var parameters: [UnsafeMutableRawPointer?] = unsafe [bytes.baseAddress]
                return unsafe driver.launch(
                    function, UInt32(grid.x), UInt32(grid.y), UInt32(grid.z), threads, 1, 1, sharedBytes, stream.handle, &parameters, nil)
            }
        }
    }
}

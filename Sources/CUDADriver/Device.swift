internal import CCUDA

/// A GPU through NVIDIA's driver, which is loaded when it is asked for. Any thread may use it.
@safe package final class Device: @unchecked Sendable {  // the driver's calls are safe from all threads; nothing here changes
    /// Where the driver is, by the name that it has on every system.
    package static let systemLibrary = "libcuda.so.1"
    /// CUDA 11.4, the first with all calls that are used.
    private static let oldestDriver = 11040
    /// The kernels are for sm_80.
    private static let oldestMajor = 8

    let driver: cu_driver
    private let handle: CInt
    private let context: UnsafeMutableRawPointer
    package let name: String
    /// Compute capability, (8, 9) for Ada.
    package let capability: (major: Int, minor: Int)
    package let multiprocessors: Int
    /// Bytes of the cache that all multiprocessors share.
    package let cacheBytes: Int
    /// Bytes of shared memory that a block may have.
    package let sharedBytes: Int
    /// CUDA's version that the driver is for: "12.4".
    package let driverVersion: String

    /// - Parameter library: another driver than the system's, for tests.
    package init(_ index: Int = 0, library: String = Device.systemLibrary) throws(DeviceError) {
        let driver = try Self.open(library)
        try Self.check(driver, "cuInit", "to start", driver.initialize(0))
        var version: CInt = 0
        try unsafe Self.check(driver, "cuDriverGetVersion", "its version", driver.version(&version))
        driverVersion = "\(version / 1000).\(version % 1000 / 10)"
        guard version >= Self.oldestDriver else { throw .driverTooOld(found: "one for CUDA \(driverVersion)") }
        var count: CInt = 0
        try unsafe Self.check(driver, "cuDeviceGetCount", "the number of GPUs", driver.deviceCount(&count))
        guard index >= 0, index < count else { throw .noDevice(index: index, count: Int(count)) }
        var handle: CInt = 0
        try unsafe Self.check(driver, "cuDeviceGet", "GPU \(index)", driver.device(&handle, CInt(index)))
        name = try Self.name(driver, handle)
        capability = (try Self.attribute(driver, CU_MAJOR, handle), try Self.attribute(driver, CU_MINOR, handle))
        guard capability.major >= Self.oldestMajor else { throw .deviceTooOld(name: name, major: capability.major, minor: capability.minor) }
        multiprocessors = try Self.attribute(driver, CU_MULTIPROCESSORS, handle)
        cacheBytes = try Self.attribute(driver, CU_CACHE_BYTES, handle)
        sharedBytes = try Self.attribute(driver, CU_SHARED_OPTIN, handle)
        var context: UnsafeMutableRawPointer?
        try unsafe Self.check(driver, "cuDevicePrimaryCtxRetain", "a context on \(name)", driver.retainContext(&context, handle))
        guard let context = unsafe context else { throw Self.nothing("cuDevicePrimaryCtxRetain", "a context on \(name)") }
        (self.driver, self.handle) = (driver, handle)
        unsafe self.context = unsafe context
    }

    deinit { _ = driver.releaseContext(handle) }

    /// Bytes that nobody uses, and all there are.
    package func memory() throws(DeviceError) -> (free: Int, total: Int) {
        var (free, total) = (0, 0)
        try call("cuMemGetInfo", "how much memory is free") { unsafe $0.memoryInfo(&free, &total) }
        return (free, total)
    }

    /// Calls the driver with this thread's context set, and throws what it refused.
    /// - Parameter subject: what the call is for, as the object of "refused".
    func call(_ name: String, _ subject: @autoclosure () -> String, _ body: (borrowing cu_driver) -> CInt) throws(DeviceError) {
        try Self.check(driver, "cuCtxSetCurrent", "its context", unsafe driver.setContext(context))
        try Self.check(driver, name, subject(), body(driver))
    }

    /// The same of a call that makes something.
    func make(
        _ name: String, _ subject: @autoclosure () -> String, _ body: (borrowing cu_driver, UnsafeMutablePointer<UnsafeMutableRawPointer?>) -> CInt
    ) throws(DeviceError) -> UnsafeMutableRawPointer {
        var made: UnsafeMutableRawPointer?
        try call(name, subject()) { unsafe body($0, &made) }
        guard let made = unsafe made else { throw Self.nothing(name, subject()) }
        return unsafe made
    }

    /// Calls the driver where nobody can be told of a failure: to give something back.
    func giveBack(_ body: (borrowing cu_driver) -> CInt) {
        _ = unsafe driver.setContext(context)
        _ = body(driver)
    }

    private static func open(_ library: String) throws(DeviceError) -> cu_driver {
        // An empty table: every entry is set before it is used, since the whole is refused where one is missing.
        var driver = cu_driver()
        var failure = [CChar](repeating: 0, count: 512)
        let code = unsafe cu_open(library, &driver, &failure, failure.count)
        switch code {
        case 0: return driver
        case 1: throw .noDriver(library: library, reason: text(failure))
        default: throw .driverTooOld(found: "one without \(text(failure))")
        }
    }

    private static func name(_ driver: cu_driver, _ handle: CInt) throws(DeviceError) -> String {
        var characters = [CChar](repeating: 0, count: 256)
        try unsafe check(driver, "cuDeviceGetName", "the name of a GPU", driver.deviceName(&characters, CInt(characters.count), handle))
        return text(characters)
    }

    private static func attribute(_ driver: cu_driver, _ attribute: Int, _ handle: CInt) throws(DeviceError) -> Int {
        var value: CInt = 0
        try unsafe check(driver, "cuDeviceGetAttribute", "attribute \(attribute)", driver.deviceAttribute(&value, CInt(attribute), handle))
        return Int(value)
    }

    static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func check(_ driver: cu_driver, _ call: String, _ subject: @autoclosure () -> String, _ code: CInt) throws(DeviceError) {
        guard code != 0 else { return }
        guard code != CU_NO_DEVICE else { throw .noDevice(index: 0, count: 0) }
        var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?) = (nil, nil)
        _ = unsafe driver.errorName(code, &name)
        _ = unsafe driver.errorText(code, &text)
        throw .refused(
            call: call, subject: subject(), name: unsafe name.map { unsafe String(cString: $0) } ?? "an unknown error", code: Int(code),
            text: unsafe text.map { unsafe String(cString: $0) } ?? "without a word")
    }

    private static func nothing(_ call: String, _ subject: String) -> DeviceError {
        .refused(call: call, subject: subject, name: "nothing", code: 0, text: "without an error")
    }
}

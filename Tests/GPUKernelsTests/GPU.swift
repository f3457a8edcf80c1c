import CGPUKernels
import CUDADriver
import TestKit

/// The stand-in with the kernels that the program has, from the text that it ships.
@safe final class GPU {
    private let device: Device
    private let stream: Stream

    /// Modules are loaded once for all tests.
    private struct Loaded {
        let device: Device
        let modules: [Module]
        let kernels: [String: Entry]
    }
    private static let loaded = Result {
        let device = try Device(library: StandIn.library)
        let modules = try (0..<cg_module_count()).map { module in
            try unsafe Module(device, name: String(cString: cg_module_name(module)), text: cg_module_text(module))
        }
        return Loaded(device: device, modules: modules, kernels: Dictionary(uniqueKeysWithValues: table.map { ($0.name, $0) }))
    }

    /// What the table says of a kernel.
    struct Entry {
        let name: String
        let module: Int, threads: Int, shared: Int, rows: Int, columns: Int
    }

    static let table = (0..<cg_kernel_count()).map { index in
        let kernel = unsafe cg_kernel_at(index)
        return unsafe Entry(
            name: String(cString: kernel.name), module: Int(kernel.module), threads: Int(kernel.threads), shared: Int(kernel.shared), rows: Int(kernel.rows),
            columns: Int(kernel.columns))
    }

    init() throws {
        device = try Self.loaded.get().device
        stream = try Stream(device)
    }

    /// Elements on the device.
    struct Values<Element: BitwiseCopyable> {
        fileprivate let slice: DeviceSlice
        let count: Int
        var address: UInt64 { slice.address }
    }

    func values<Element: BitwiseCopyable>(_ elements: [Element]) throws -> Values<Element> {
        let values: Values<Element> = try room(elements.count)
        try unsafe elements.withUnsafeBytes { try unsafe stream.upload($0, to: values.slice[0..<$0.count]) }
        return values
    }

    /// Room for elements that a kernel is to write, each of them.
    func room<Element: BitwiseCopyable>(_ count: Int) throws -> Values<Element> {
        Values(slice: try DeviceMemory(device, byteCount: max(1, count * MemoryLayout<Element>.stride)).slice, count: count)
    }

    func read<Element: BitwiseCopyable & ExpressibleByIntegerLiteral>(_ values: Values<Element>) throws -> [Element] {
        var result = [Element](repeating: 0, count: values.count)
        try unsafe result.withUnsafeMutableBytes { try unsafe stream.download(values.slice[0..<$0.count], to: $0) }
        return result
    }

    func kernel(_ name: String) throws -> Entry {
        guard let kernel = try Self.loaded.get().kernels[name] else { throw Unknown(name: name) }
        return kernel
    }

    /// Runs a kernel and waits.
    /// - Parameter shared: bytes, for those of which the table does not say them.
    func run<Argument: BitwiseCopyable>(_ name: String, _ x: Int, _ y: Int = 1, _ z: Int = 1, shared: UInt32 = 0, with argument: Argument) throws {
        let (loaded, kernel) = (try Self.loaded.get(), try kernel(name))
        let own = try loaded.modules[kernel.module].kernel(name, threads: kernel.threads, sharedBytes: max(Int(shared), kernel.shared))
        try own.launch(on: stream, grid: (x, y, z), argument)
        try stream.synchronize()
    }

    struct Unknown: Error { let name: String }
}

/// So many pieces of a size hold a count.
func pieces(_ count: Int, of size: Int) -> Int { (count + size - 1) / size }

/// Bytes of a row on the device.
func pitch(_ bytes: Int) -> Int { pieces(bytes, of: 64) * 64 }

/// Rows of elements that lie `pitch` elements apart, with zeros behind.
func padded<Element: ExpressibleByIntegerLiteral>(_ rows: [Element], columns: Int, pitch: Int) -> [Element] {
    var result: [Element] = []
    for start in stride(from: 0, to: rows.count, by: columns) {
        result += rows[start..<start + columns]
        result += [Element](repeating: 0, count: pitch - columns)
    }
    return result
}

/// A double as two floats.
func split(_ value: Double) -> (high: Float, rest: Float) { (Float(value), Float(value - Double(Float(value)))) }

/// The largest distance from what is expected, beside the magnitudes that were added up to it.
func worst(_ values: [Float], _ exact: [Double], beside magnitudes: [Double]) -> Double {
    precondition(values.count == exact.count)
    var result = 0.0
    for index in values.indices {
        let error = abs(Double(values[index]) - exact[index]) / max(magnitudes[index], .leastNormalMagnitude)
        result = error <= result ? result : error.isNaN ? .infinity : error
    }
    return result
}

extension SplitMix64 {
    mutating func floats(_ count: Int, range: Float = 3) -> [Float] { (0..<count).map { _ in Float.random(in: -range...range, using: &self) } }
    mutating func scales(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: 1e-4...1e-2, using: &self) } }
    mutating func codes(_ count: Int) -> [Int8] { (0..<count).map { _ in Int8.random(in: -127...127, using: &self) } }
}

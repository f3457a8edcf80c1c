import ArgumentParser
import CUDADriver
import CUDAInference
import Operations

/// What a verb's models run on.
struct DeviceOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What computes: cpu, cuda, cuda:N for the GPU of that number, or auto. auto is a usable GPU, else the CPU; for convert, calibrate and verify, whose results are to be the same everywhere, it is the CPU.",
            valueName: "device"))
    var device = DeviceChoice.auto

    /// Where the driver is looked for instead of by its name: for tests, which give a stand-in, or nothing where there is one.
    private static let driverVariable = "SPRINTPACK_CUDA_LIBRARY"

    /// The GPU; nil where it is to be the CPU.
    /// - Parameter unlessAsked: whether `auto` is a GPU that can be used.
    func gpu(unlessAsked: Bool, isQuiet: Bool) throws -> (CUDA, UsedDevice)? {
        switch device {
        case .cpu: nil
        case .auto: unlessAsked ? try? open(0, isQuiet) : nil
        case .cuda(let number): try open(number, isQuiet)
        }
    }

    private func open(_ number: Int, _ isQuiet: Bool) throws -> (CUDA, UsedDevice) {
        let device = try Device(number, library: Console.environment(Self.driverVariable) ?? Device.systemLibrary)
        let gpu = try CUDA(device) { if !isQuiet { ProgressBar.hint("compiling kernels for this GPU, once") } }
        let used = UsedDevice(
            name: "\(device.name) (driver for CUDA \(device.driverVersion))",
            properties: [
                ("driver", "CUDA \(device.driverVersion)"), ("compute capability", "\(device.capability.major).\(device.capability.minor)"),
                ("GPU kernels", "PTX of SHA-256 \(KernelText.digest)"),
            ], peakBytes: { gpu.engine.bytes.peak })
        return (gpu, used)
    }
}

enum DeviceChoice: Equatable, ExpressibleByArgument, CustomStringConvertible {
    case auto
    case cpu
    /// A GPU by its number.
    case cuda(Int)

    init?(argument: String) {
        switch argument {
        case "auto": self = .auto
        case "cpu": self = .cpu
        case "cuda": self = .cuda(0)
        default:
            let prefix = "cuda:"
            guard argument.hasPrefix(prefix), let number = Int(argument.dropFirst(prefix.count)), argument == "\(prefix)\(number)", (0..<1024).contains(number)
            else { return nil }
            self = .cuda(number)
        }
    }

    var description: String {
        switch self {
        case .auto: "auto"
        case .cpu: "cpu"
        case .cuda(let number): number == 0 ? "cuda" : "cuda:\(number)"
        }
    }

    var defaultValueDescription: String { description }
}

/// What computes, as people and reports are told.
struct UsedDevice {
    /// Behind "on": "the CPU (AVX-512)", "NVIDIA GeForce RTX 4090 (driver for CUDA 12.4)".
    let name: String
    /// What results may depend on, for reports.
    var properties: [(name: String, value: String)] = []
    var isCPU = false
    /// The most bytes of its own memory that values took so far; nil where it has none.
    var peakBytes: () -> Int? = { nil }

    static var cpu: UsedDevice { UsedDevice(name: "the CPU (\(CPU.best))", isCPU: true) }
}

/// A verb whose models run on the executor that is asked for, which is opened here and nowhere else.
protocol DeviceVerb: Verb {
    var deviceOption: DeviceOption { get }
    /// Whether `auto` is the CPU, whatever else there is.
    static var prefersCPU: Bool { get }
    func execute(on executor: some Executor, _ device: UsedDevice) throws -> Outcome
}

extension DeviceVerb {
    func execute() throws -> Outcome {
        guard let (gpu, device) = try deviceOption.gpu(unlessAsked: !Self.prefersCPU, isQuiet: common.quiet) else { return try execute(on: .best, .cpu) }
        return try execute(on: gpu, device)
    }
}

import ArgumentParser
import Operations

/// What a verb's models run on.
struct DeviceOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What computes: cpu, cuda, cuda:N for the GPU of that number, or auto. auto is a usable GPU, else the CPU; for convert, calibrate and verify, whose results are to be the same everywhere, it is the CPU.",
            valueName: "device"))
    var device = DeviceChoice.auto
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
    let properties: [(name: String, value: String)]
    let isCPU: Bool

    static var cpu: UsedDevice { UsedDevice(name: "the CPU (\(CPU.best))", properties: [], isCPU: true) }
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
        try execute(on: .best, .cpu)
    }
}

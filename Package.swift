// swift-tools-version: 6.2
import PackageDescription

// One list of settings for every Swift target: Swift 6 language mode, strict memory safety, and the
// upcoming features that keep imports and existentials explicit.
let swift: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

// -O3 in debug builds too: a kernel at -O0 makes the debug suite a hundred times slower and proves nothing more.
// -ffp-contract=off: every path of a kernel must round in the same places (Formats/schemes.md, the integer contract).
let kernelFlags: [CSetting] = [.unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno"])]

func room(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: swift)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestKit"], exclude: exclude, swiftSettings: swift)
}

let package = Package(
    name: "sprintpack",
    products: [
        .executable(name: "sprintpack", targets: ["sprintpack"]),
        // A libcuda.so.1 for the tests, which load it as the program loads the driver's.
        .library(name: "StandInDriver", type: .dynamic, targets: ["StandInDriver"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        // The C edges.
        .target(name: "CKernels", cSettings: kernelFlags),
        .target(name: "CGPUKernels", exclude: ["README.md", "kernels", "ptx"]),
        .target(name: "COpenBLAS", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "CCUDA", linkerSettings: [.linkedLibrary("dl")]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),

        // The rooms, in the order in which data passes through them.
        room("StrictJSON", []),
        room("ProbePoints", []),
        room("Files", ["CKernels", "CPNG", "CXXHash"]),
        room("Tensors", ["CKernels"]),
        room("CUDADriver", ["CCUDA"], exclude: ["README.md"]),
        room("Safetensors", ["StrictJSON", "Files", "Tensors"]),
        room("TorchFiles", ["StrictJSON", "Files", "Tensors"]),
        room("Checkpoints", ["StrictJSON", "Files", "Tensors", "Safetensors", "TorchFiles"]),
        room("PackedFiles", ["StrictJSON", "Files", "Tensors", "CZstd", "CKernels"]),
        room("Operations", ["Tensors", "PackedFiles", "CKernels", "COpenBLAS"], exclude: ["README.md"]),
        room("CUDAInference", ["CGPUKernels", "CUDADriver", "Files", "Operations", "PackedFiles", "Tensors"], exclude: ["README.md"]),
        room("Inference", ["StrictJSON", "Files", "ProbePoints", "Tensors", "PackedFiles", "Operations"]),
        room("Conversion", ["StrictJSON", "Files", "Tensors", "Safetensors", "Checkpoints", "PackedFiles", "Operations", "Inference"]),
        room("Parity", ["StrictJSON", "Files", "ProbePoints", "Tensors", "Safetensors"]),
        room("Quality", ["StrictJSON", "Tensors", "Checkpoints", "PackedFiles", "Operations", "Inference", "Conversion", "Parity"]),
        room(
            "Proof",
            [
                "StrictJSON", "Files", "ProbePoints", "Tensors", "Safetensors", "Checkpoints", "PackedFiles", "Operations", "Inference", "Conversion", "Parity",
                "Quality",
            ]),
        .executableTarget(
            name: "sprintpack",
            dependencies: [
                "StrictJSON", "Files", "ProbePoints", "Tensors", "Safetensors", "TorchFiles", "Checkpoints", "PackedFiles", "Operations", "Inference",
                "Conversion", "Parity", "Quality", "Proof", "CUDADriver", "CUDAInference",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swift),

        // The tests mirror the rooms.
        .target(
            name: "TestKit", dependencies: ["Tensors", "Files", "StrictJSON", "Safetensors", "Operations", "PackedFiles"], path: "Tests/TestKit",
            swiftSettings: swift),
        .target(
            name: "StandInDriver", path: "Tests/StandInDriver", exclude: ["README.md"], cSettings: kernelFlags,
            linkerSettings: [.linkedLibrary("m"), .linkedLibrary("pthread")]),
        .target(
            name: "FuzzKit",
            dependencies: [
                "StrictJSON", "Files", "Safetensors", "TorchFiles", "Checkpoints", "PackedFiles", "Inference", "Conversion", "Parity", "Quality", "Tensors",
                "TestKit",
            ], path: "Tests/FuzzKit", swiftSettings: swift),
        tests("FuzzKitTests", ["FuzzKit"]),
        tests("CUDADriverTests", ["CUDADriver", "Files"]),
        tests("GPUKernelsTests", ["CGPUKernels", "CKernels", "CUDADriver"]),
        tests("CUDAInferenceTests", ["CUDAInference", "CUDADriver", "Operations", "PackedFiles", "Tensors", "Files"]),
        tests("KernelsTests", ["CKernels", "CZstd"], exclude: ["Emulated"]),
        tests("StrictJSONTests", ["StrictJSON"]),
        tests("ProbePointsTests", ["ProbePoints"]),
        tests("FilesTests", ["CPNG", "Files"]),
        tests("TensorsTests", ["Tensors", "Files"]),
        tests("SafetensorsTests", ["Safetensors", "Tensors", "Files", "StrictJSON"]),
        tests("TorchFilesTests", ["TorchFiles", "Tensors", "Files", "StrictJSON"]),
        tests("CheckpointsTests", ["Checkpoints", "TorchFiles", "Safetensors", "Tensors", "Files", "StrictJSON"]),
        tests("PackedFilesTests", ["PackedFiles", "Tensors", "Files", "StrictJSON"]),
        tests(
            "InferenceTests",
            [
                "CUDADriver", "CUDAInference", "Conversion", "Inference", "ProbePoints", "Operations", "PackedFiles", "Checkpoints", "Safetensors", "Tensors",
                "Files", "StrictJSON",
            ]),
        tests("ConversionTests", ["Conversion", "Inference", "Operations", "PackedFiles", "Checkpoints", "Safetensors", "Tensors", "Files", "StrictJSON"]),
        tests("ParityTests", ["Parity", "ProbePoints", "Safetensors", "Tensors", "Files", "StrictJSON"]),
        tests("QualityTests", ["Quality", "Parity", "StrictJSON"]),
        tests(
            "ProofTests",
            [
                "Proof", "Quality", "Parity", "Conversion", "Inference", "ProbePoints", "Operations", "PackedFiles", "Checkpoints", "Safetensors", "Tensors",
                "Files",
                "StrictJSON",
            ]),
        tests("CommandTests", ["sprintpack", "Parity", "Safetensors", "Tensors", "Files", "StrictJSON"], exclude: ["Figures", "Shims"]),
    ]
)

// The fuzzers' program needs libFuzzer, which is linked in where `make fuzz` asks for it.
if Context.environment["SPRINTPACK_FUZZ"] != nil {
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/CFuzzer"),
        .executableTarget(name: "fuzz", dependencies: ["CFuzzer", "Files", "FuzzKit"], path: "Tests/Fuzz", exclude: ["fuzz.sh"], swiftSettings: swift),
    ]
}

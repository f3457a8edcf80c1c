import Foundation
import Inference
import PackedFiles
import Tensors
import TestKit
import Testing

@Suite struct ScratchBench {
    @Test func decode() throws {
        guard let path = ProcessInfo.processInfo.environment["VAE_FILE"] else { return }
        let size = Int(ProcessInfo.processInfo.environment["VAE_SIZE"] ?? "1024")! / 32
        let runs = Int(ProcessInfo.processInfo.environment["VAE_RUNS"] ?? "2")!
        let pipeline = try SanaSprintPipeline(weights: PackedWeights(try PackedFile.open(path)))
        var random = SplitMix64(seed: 1)
        let latents = try random.tensor([32, size, size])
        for _ in 0..<runs {
            let start = Date()
            _ = try pipeline.decode(latents)
            print("BENCH \(path) \(size * 32): \(Date().timeIntervalSince(start)) s, peak \(Memory.peak >> 20) MiB")
        }
    }
}

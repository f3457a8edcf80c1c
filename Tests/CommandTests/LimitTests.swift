import Foundation
import Safetensors
import TestKit
import Testing

/// What a machine may lack: memory, disk, a source that stays as it is. A clear error, no output, no crash.
@Suite struct LimitTests {
    /// The address space of each conversion, in KiB, as `ulimit -v` takes it. Where the program itself fits, it converts, and the bytes are the same.
    @Test(arguments: [1 << 20, 2 << 20, 4 << 20]) func addressSpaceIsEnoughOrRefused(limit: Int) throws {
        let shop = try Workshop()
        let free = try shop.packed("int8")
        let limited = shop.path("limited.sprint")
        let result = try Tool.shell("ulimit -v \(limit); exec \"$TOOL\" convert \(Workshop.tiny) -o \(limited) --preset int8 --quiet --no-quality")
        #expect(result.status == 0, "\(result.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: limited)) == Data(contentsOf: URL(fileURLWithPath: free)))
        #expect(try Tool.shell("ulimit -v \(limit); exec \"$TOOL\" verify \(limited) --quiet").status == 0)
    }

    /// The same for a picture; one that the address space cannot hold is refused before anything is computed.
    @Test(arguments: [1 << 20, 2 << 20, 4 << 20]) func aPictureFitsTheAddressSpaceOrIsRefused(limit: Int) throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let command = "ulimit -v \(limit); exec \"$TOOL\" generate \(file) --prompt 'a red circle' --steps 1 --quiet"
        let drawn = try Tool.shell("\(command) -o \(shop.path("small.png"))")
        #expect(drawn.status == 0, "\(drawn.errors)")
        let refused = try Tool.shell("\(command) --width 16384 --height 16384 -o \(shop.path("large.png"))")
        #expect(refused.status == 2, "\(refused.errors)")
        #expect(refused.errors.contains("out of memory"), "\(refused.errors)")
        #expect(shop.names == ["int8.sprint", "small.png"])
    }

    /// A tensor that is larger than the bound passes through it; a bound below what one row takes is refused before anything is written.
    @Test func memoryBoundIsKeptOrRefused() throws {
        let shop = try Workshop()
        let refused = try Tool.run(["convert", Workshop.tiny, "-o", shop.path("x.sprint"), "--max-memory", "32MiB"])
        #expect(refused.status == 2)
        #expect(refused.errors.contains("--max-memory"), "\(refused.errors)")
        #expect(shop.names.isEmpty)
    }

    /// A limit on file sizes stands in for the full disk: both fail in the middle of a write.
    @Test(arguments: [100, 2000, 6000]) func aFullDiskIsAnError(blocks: Int) throws {
        let shop = try Workshop()
        let result = try Tool.shell("ulimit -f \(blocks); exec \"$TOOL\" convert \(Workshop.tiny) -o \(shop.path("x.sprint")) --preset fp32 --quiet")
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.errors.hasPrefix("sprintpack: error: ") && result.errors.contains("x.sprint: write"), "\(result.errors)")
        #expect(shop.names.isEmpty)
    }

    @Test func aFullDiskKeepsNoPicture() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let result = try Tool.shell("ulimit -f 4; exec \"$TOOL\" generate \(file) --prompt 'a red circle' --steps 1 --quiet -o \(shop.path("x.png"))")
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.errors.hasPrefix("sprintpack: error: ") && result.errors.contains("x.png: write"), "\(result.errors)")
        #expect(shop.names == ["int8.sprint"])
    }

    /// A packed file whose end is cut off after it was opened: the picture needs what is no longer there.
    @Test func aPackedFileThatShrinksIsAnError() throws {
        let shop = try Workshop()
        let file = try shop.packed("int8")
        let running = try StoppedTool(
            ["generate", file, "--prompt", "a red circle", "--steps", "1", "--quiet", "-o", shop.path("x.png")],
            at: .init(function: "pread", nth: 10, part: "int8.sprint"))
        try FileHandle(forWritingTo: URL(fileURLWithPath: file)).truncate(atOffset: 200_000)
        let result = try running.finish()
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.errors.contains("int8.sprint"), "\(result.errors)")
        #expect(shop.names == ["int8.sprint"])
    }

    /// A source whose end is cut off after its header was read, and one that is only written to.
    @Test(arguments: [true, false]) func aSourceThatChangesIsAnError(isShortened: Bool) throws {
        let shop = try Workshop()
        let checkpoint = try shop.checkpoint()
        let weights = "\(checkpoint)/vae/diffusion_pytorch_model.safetensors"
        // Its length and its header take the first two reads; the third one is of a tensor.
        let running = try StoppedTool(
            ["convert", checkpoint, "-o", shop.path("x.sprint"), "--quiet"] + Workshop.quick,
            at: .init(function: "pread", nth: 3, part: "vae/diffusion_pytorch_model"))
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: weights))
        if isShortened { try handle.truncate(atOffset: 100_000) } else { try handle.write(contentsOf: handle.read(upToCount: 1) ?? Data()) }
        try handle.close()
        let result = try running.finish()
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.errors.contains("diffusion_pytorch_model.safetensors"), "\(result.errors)")
        #expect(shop.names == ["checkpoint"])
    }
}

import CUDADriver
import TestKit
import Testing

/// What stands between a program and a GPU is said by name, in a sentence that helps.
@Suite struct DeviceTests {
    private func refusal(_ library: String, _ index: Int = 0) -> DeviceError? {
        do { _ = try Device(index, library: library) } catch { return error }
        return nil
    }

    @Test("A card and what it is")
    func card() throws {
        let device = try Device(library: StandIn.library)
        #expect(device.name == "Stand-in sm_89" && device.capability == (8, 9) && device.sharedBytes == 99 << 10 && device.multiprocessors == 4)
        #expect(device.driverVersion == "12.4")
        #expect(try device.memory().total == 8 << 30)
    }

    @Test("There is no driver")
    func noDriver() throws {
        let error = try #require(refusal("/nowhere/libcuda.so.1"))
        guard case .noDriver("/nowhere/libcuda.so.1", let reason) = error else { Issue.record("\(error)"); return }
        #expect(reason.contains("No such file"))
        #expect("\(error)".contains("install the driver of the graphics card, or compute on the CPU"))
    }

    @Test("A library that lacks a call, and a driver that says it is old, are too old")
    func tooOld() throws {
        #expect(refusal("libm.so.6") == .driverTooOld(found: "one without cuInit"))
        let folder = try TemporaryFolder()
        let error = try #require(refusal(try StandIn.copy(in: folder, version: 11030)))
        #expect(error == .driverTooOld(found: "one for CUDA 11.3"))
        #expect("\(error)".contains("expected one for CUDA 11.4 or newer") && "\(error)".contains("install driver 470 or newer"))
    }

    @Test("There is no card, not this one, or only an old one")
    func cards() throws {
        let folder = try TemporaryFolder()
        let error = try #require(refusal(try StandIn.copy(in: folder, cards: 0)))
        #expect(error == .noDevice(index: 0, count: 0) && "\(error)".contains("sees no GPU"))
        #expect(refusal(StandIn.library, 3) == .noDevice(index: 3, count: 3) && refusal(StandIn.library, -1) == .noDevice(index: -1, count: 3))
        #expect("\(DeviceError.noDevice(index: 3, count: 3))".contains("expected a number from 0 to 2"))
        let old = try #require(refusal(StandIn.library, 1))
        #expect(old == .deviceTooOld(name: "Stand-in sm_75", major: 7, minor: 5) && "\(old)".contains("expected compute capability 8.0 or newer"))
    }

    @Test("Memory runs out, and comes back")
    func memory() throws {
        let folder = try TemporaryFolder()
        let device = try Device(2, library: try StandIn.copy(in: folder))
        let half = try DeviceMemory(device, byteCount: 1 << 19)
        do {
            _ = try DeviceMemory(device, byteCount: 1 << 20)
            Issue.record("more than there is")
        } catch {
            #expect(error == .outOfMemory(byteCount: 1 << 20, free: 1 << 19, total: 1 << 20))
            #expect("\(error)".contains("out of GPU memory: expected 1048576 bytes more, found 524288 of 1048576 free"))
        }
        #expect(half.byteCount == 1 << 19)
        do { _ = try DeviceMemory(device, byteCount: 1 << 18) }
        #expect(try device.memory().free == 1 << 19)
    }

    @Test("An arena gives the same addresses again, each aligned, and no more than it has")
    func arena() throws {
        let device = try Device(library: StandIn.library)
        var arena = try Arena(device, byteCount: 4096)
        let first = try arena.take(100), mark = arena.mark, second = try arena.take(1000)
        #expect(first.address % 256 == 0 && second.address == first.address + 256 && second.byteCount == 1000 && arena.mark == 1280)
        arena.reset(to: mark)
        #expect(try arena.take(1).address == second.address && arena.peak == 1280)
        #expect(failure { _ = try arena.take(4096) } == "\(DeviceError.outOfMemory(byteCount: 4096, free: 3584, total: 4096))")
        arena.reset()
        #expect(try arena.take(4096).byteCount == 4096 && arena.mark == 4096 && arena.peak == 4096)
    }
}

import CUDADriver
import TestKit
import Testing

/// What a kernel does wrong is said, with its place.
@Suite struct DefectTests {
    private static let shared = ".extern .shared .align 16 .b8 s[];"
    private static let lane = "shl.b32 %r0, %t, 2; mad.wide.u32 %rd0, %t, 4, %second; mad.wide.u32 %rd1, %t, 4, %first; mov.u32 %r9, 1;\n"

    /// What running a body with 64 threads throws, on a copy of the stand-in of its own.
    private func failure(_ body: String, before: String = DefectTests.shared, sharedBytes: Int = 256, steps: UInt64 = 1 << 20) throws -> String? {
        let folder = try TemporaryFolder()
        let bench = try Bench(try StandIn.copy(in: folder, steps: steps))
        let (first, second) = (try bench.memory([UInt32](0..<64)), try bench.fresh(256))
        return CUDADriverTests.failure { try bench.run(Bench.kernel(Self.lane + body, before: before), first, second, threads: 64, sharedBytes: sharedBytes) }
    }

    @Test(
        "A defect is named",
        arguments: [
            (
                "st.shared.u32 [s], %t;", "CUDA_ERROR_LAUNCH_FAILED",
                "writes what was written of byte 0 of shared memory without a barrier between: a race with warp 0"
            ),
            ("st.shared.u8 [s+3], %t;", "CUDA_ERROR_LAUNCH_FAILED", "writes what was written of byte 3"),
            ("st.shared.u32 [%r0], %t; ld.shared.u32 %r1, [s+128];", "CUDA_ERROR_LAUNCH_FAILED", "that nobody has written"),
            (
                "st.shared.u32 [%r0], %t; ld.shared.u32 %r1, [s+4];", "CUDA_ERROR_LAUNCH_FAILED",
                "reads what was written of byte 4 of shared memory without a barrier between: a race with warp 0"
            ),
            (
                "st.shared.u32 [%r0], %t; bar.sync 0; xor.b32 %r1, %r0, 128; ld.shared.u32 %r2, [%r1]; st.shared.u32 [%r0], %r2;", "CUDA_ERROR_LAUNCH_FAILED",
                "reads what was written of byte 0 of shared memory without a barrier between: a race with warp 0"
            ),
            (
                "st.shared.u32 [%r0], %t; bar.sync 0; setp.gt.u32 %p0, %t, 31; @!%p0 ld.shared.u32 %r2, [%r0+128]; @%p0 st.shared.u32 [%r0], %t;",
                "CUDA_ERROR_LAUNCH_FAILED", "thread 32 writes what was read of byte 128 of shared memory without a barrier between: a race with warp 0"
            ),
            (
                "setp.eq.u32 %p0, %t, 0; @%p0 st.shared.u32 [s], %t; bar.sync 0; atom.shared.add.u32 %r1, [s], 1; ld.shared.u32 %r2, [s];",
                "CUDA_ERROR_LAUNCH_FAILED", "a race of several warps"
            ),
            ("atom.shared.add.u32 %r1, [s], 1;", "CUDA_ERROR_LAUNCH_FAILED", "updates byte 0 of shared memory that nobody has written"),
            ("ld.shared.u32 %r1, [%r0];", "CUDA_ERROR_LAUNCH_FAILED", "reads byte 0 of shared memory that nobody has written"),
            ("st.shared.u32 [%r0+4], %t;", "CUDA_ERROR_ILLEGAL_ADDRESS", "writes 4 bytes at 0x100 of shared memory, which has 256"),
            ("ld.shared.u32 %r1, [%r0+256];", "CUDA_ERROR_ILLEGAL_ADDRESS", "thread 0 reads 4 bytes at 0x100"),
            ("ld.global.u32 %r1, [%rd1+4];", "CUDA_ERROR_ILLEGAL_ADDRESS", "thread 63 reads 4 bytes"),
            ("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%first+256];", "CUDA_ERROR_ILLEGAL_ADDRESS", "lies in no allocation"),
            ("ld.global.u32 %r1, [%first+-4];", "CUDA_ERROR_ILLEGAL_ADDRESS", "lies in no allocation"),
            ("mov.u64 %rd2, 0; st.global.u32 [%rd2], %t;", "CUDA_ERROR_ILLEGAL_ADDRESS", "writes 4 bytes at 0, "),
            ("st.u32 [%rd0+4], %t;", "CUDA_ERROR_ILLEGAL_ADDRESS", "thread 63 writes 4 bytes"),
            ("ld.global.u32 %r1, [%first+2];", "CUDA_ERROR_MISALIGNED_ADDRESS", "which is not aligned to them"),
            ("ld.global.v2.u32 {%r1, %r2}, [%rd1];", "CUDA_ERROR_MISALIGNED_ADDRESS", "thread 1 goes to 8 bytes"),
            ("st.shared.u64 [%r0], %rd0;", "CUDA_ERROR_MISALIGNED_ADDRESS", "goes to 8 bytes at 0x4"),
            ("ld.global.u32 %r1, [%rd0];", "CUDA_ERROR_LAUNCH_FAILED", "that nobody has written"),
            (
                "setp.gt.u32 %p0, %t, 5; @%p0 st.global.u32 [%rd0], %t; bar.sync 0; ld.global.u32 %r1, [%second+20];", "CUDA_ERROR_LAUNCH_FAILED",
                "that nobody has written"
            ),
            (
                "cp.async.ca.shared.global [%r0], [%rd1], 4; ld.shared.u32 %r1, [%r0];", "CUDA_ERROR_LAUNCH_FAILED",
                "into which a copy is on its way: it was not waited for"
            ),
            (
                "cp.async.ca.shared.global [%r0], [%rd1], 4; cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %r1, [%r0];",
                "CUDA_ERROR_LAUNCH_FAILED", "was not waited for"
            ),
            ("cp.async.ca.shared.global [%r0], [%rd1], 4; cp.async.wait_group 0; ld.shared.u32 %r1, [%r0];", "CUDA_ERROR_LAUNCH_FAILED", "was not waited for"),
            ("cp.async.ca.shared.global [%r0], [%rd1], 4; st.shared.u32 [%r0], %t;", "CUDA_ERROR_LAUNCH_FAILED", "writes byte 0 of shared memory, into which"),
            (
                "cp.async.ca.shared.global [%r0], [%rd1], 4; cp.async.wait_all; xor.b32 %r1, %r0, 128; ld.shared.u32 %r2, [%r1];", "CUDA_ERROR_LAUNCH_FAILED",
                "shared memory"
            ),
            ("cp.async.cg.shared.global [%r0], [%rd1], 16;", "CUDA_ERROR_MISALIGNED_ADDRESS", "copies 16 bytes"),
            ("cp.async.ca.shared.global [%r0], [%rd1+128], 4;", "CUDA_ERROR_ILLEGAL_ADDRESS", "lies in no allocation"),
            ("setp.lt.u32 %p0, %t, 8; @%p0 bra E; bar.sync 0; E:", "CUDA_ERROR_LAUNCH_FAILED", "waits for lanes of its warp that wait elsewhere or have ended"),
            ("setp.lt.u32 %p0, %t, 32; @%p0 bra E; bar.sync 0; E:", "CUDA_ERROR_LAUNCH_FAILED", "waits at a barrier for 1 warps that have ended"),
            (
                "setp.lt.u32 %p0, %t, 8; @%p0 bra E; shfl.sync.bfly.b32 %r1, %t, 1, 0x1f, 0xffffffff; E:", "CUDA_ERROR_LAUNCH_FAILED",
                "waits for lanes of its warp"
            ),
            (
                "setp.lt.u32 %p0, %t, 8; @%p0 bra E; shfl.sync.idx.b32 %r1, %t, 1, 0x1f, 0xffffff00; E:", "CUDA_ERROR_LAUNCH_FAILED",
                "takes the value of lane 1, which takes no part"
            ),
            ("AGAIN: add.u32 %r9, %r9, 1; bra AGAIN;", "CUDA_ERROR_LAUNCH_TIMEOUT", "does not end"),
            (
                "shl.b64 %rd3, %first, 0; mov.u64 %rd4, depot; .local .align 4 .b8 depot[8]; ld.local.u32 %r1, [depot];", "CUDA_ERROR_INVALID_PTX",
                "depot is not declared"
            ),
            (".local .align 4 .b8 depot[8]; ld.local.u32 %r1, [depot];", "CUDA_ERROR_LAUNCH_FAILED", "its own memory that it has not written"),
            (".local .align 4 .b8 depot[8]; st.local.u32 [depot+8], %t;", "CUDA_ERROR_ILLEGAL_ADDRESS", "a thread's own memory, which has 8"),
        ] as [(String, String, String)])
    func defects(_ body: String, _ name: String, _ words: String) throws {
        let found = try #require(try failure(body))
        #expect(found.contains(name) && found.contains(words), "\(found)")
        // The line is that of the instruction; all of them are in the same.
        if name != "CUDA_ERROR_INVALID_PTX" { #expect(found.contains("k in block (0, 0, 0)") && found.contains("in line "), "\(found)") }
    }

    @Test("The same done right passes")
    func right() throws {
        #expect(
            try failure("st.shared.u32 [%r0], %t; bar.sync 0; xor.b32 %r1, %r0, 128; ld.shared.u32 %r2, [%r1]; bar.sync 0; st.shared.u32 [%r1], %r2;") == nil)
        #expect(
            try failure(
                "cp.async.ca.shared.global [%r0], [%rd1], 4; cp.async.commit_group; cp.async.wait_group 0; bar.sync 0; ld.shared.u32 %r1, [%r0]; ld.shared.u32 %r2, [s+4];"
            ) == nil)
        #expect(
            try failure("setp.eq.u32 %p0, %t, 0; @%p0 st.shared.u32 [s], %t; bar.sync 0; atom.shared.add.u32 %r1, [s], 1; bar.sync 0; ld.shared.u32 %r2, [s];")
                == nil)
        // Neighbouring bytes of two warps are no race.
        #expect(try failure("shr.u32 %r1, %t, 5; st.shared.u8 [%r1], %t;") == nil)
        #expect(try failure("st.global.u32 [%rd0], %t; bar.sync 0; ld.global.u32 %r1, [%second+20];") == nil)
    }

    @Test(
        "What is not known is refused with its line",
        arguments: [
            ("tex.2d.v4.f32.f32 {%r1, %r2, %r3, %r4}, [%first];", "the instruction tex.2d.v4.f32.f32 is not known"),
            ("add.ftz.f32 %r1, %r2, %r3;", "the instruction add.ftz.f32 is not known"),
            ("ex2.approx.f32 %r1, %r2;", "the instruction ex2.approx.f32 is not known"), ("add.s32 %r1, %r2;", "add.s32 has 3 operands"),
            ("add.s32 %r1, %r2, %rd1;", "a register of another type was expected"), ("add.s32 %r1, %r2, %x;", "%x is not declared"),
            ("bra NOWHERE;", "there is no label NOWHERE"),
            ("bar.sync 1;", "only barrier 0 of all threads is supported"), ("@%r1 bra E; E:", "%r1 is no predicate"), ("call.uni f, ();", "call.uni"),
            ("ld.global.v3.u32 {%r1, %r2, %r3}, [%first];", "is not known"),
            ("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%r1}, {%r2}, {%r3}, {%r4};", "is not known"), ("add.s32 %r1, %r2, %r3", "expected ;"),
        ] as [(String, String)])
    func unknown(_ body: String, _ words: String) throws {
        let bench = try Bench()
        // The text has three lines before the kernel's own, which begin with an empty one; the body is its sixth.
        let found = try #require(CUDADriverTests.failure { _ = try bench.module(Bench.kernel(body)) })
        #expect(found.contains("CUDA_ERROR_INVALID_PTX") && found.contains(words) && found.contains(words == "expected ;" ? "line 11" : "line 10"), "\(found)")
        #expect(found.contains("the kernels of tests"), "\(found)")
    }
}

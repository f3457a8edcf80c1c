import CUDADriver
import TestKit
import Testing

/// What lanes and warps of the stand-in do together, and memory of all kinds.
@Suite struct MachineTests {
    /// Runs a body on `words` at %first; gives so many words at %second.
    private func run(_ body: String, before: String = "", _ words: [UInt32], count: Int, threads: Int = 32, blocks: Int = 1, sharedBytes: Int = 0) throws
        -> [UInt32]
    {
        let bench = try Bench()
        let (first, second) = (try bench.memory(words), try bench.memory([UInt32](repeating: 0xdead_beef, count: count)))
        try bench.run(Bench.kernel(body, before: before), first, second, threads: threads, blocks: blocks, sharedBytes: sharedBytes)
        return try bench.read(second, as: UInt32.self)
    }

    /// Has %rd0 be the thread's word of the second place.
    private static let mine = "mad.wide.u32 %rd0, %t, 4, %second;\n"

    @Test("Lanes part, go around as often as each wants, and meet again")
    func loops() throws {
        let body = """
            \(Self.mine)
            mov.u32 %r0, 0; mov.u32 %r1, 0;
            LOOP: setp.ge.u32 %p0, %r1, %t; @%p0 bra DONE;
            and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 0; @%p1 bra EVEN;
            add.u32 %r0, %r0, 100; bra.uni NEXT;
            EVEN: add.u32 %r0, %r0, 1;
            NEXT: add.u32 %r1, %r1, 1; bra LOOP;
            DONE: shfl.sync.idx.b32 %r3, %r0, 31, 0x1f, 0xffffffff;
            add.u32 %r0, %r0, %r3; st.global.u32 [%rd0], %r0;
            """
        let last: UInt32 = 16 + 15 * 100
        #expect(try run(body, [0], count: 32) == words(32) { ($0 + 1) / 2 + $0 / 2 * 100 + last })
    }

    @Test("Guards, early ends, and blocks that are no whole warps")
    func guards() throws {
        let body = """
            mov.u32 %r4, %ctaid.x; mov.u32 %r5, %ntid.x; mad.lo.u32 %r0, %r4, %r5, %t; mad.wide.u32 %rd0, %r0, 4, %second;
            setp.gt.u32 %p0, %r0, 90; @%p0 ret;
            setp.lt.u32 %p1, %t, 10; mov.u32 %r1, 1; @%p1 mov.u32 %r1, 2; @!%p1 add.u32 %r1, %r1, 4;
            st.global.u32 [%rd0], %r1;
            """
        #expect(try run(body, [0], count: 96, threads: 48, blocks: 2) == words(96) { if $0 > 90 { 0xdead_beef } else { $0 % 48 < 10 ? 2 : 5 } })
    }

    @Test("Shuffles of all kinds, votes, and who is active")
    func exchange() throws {
        let given = words(32) { $0 * $0 + 3 }
        func shuffled(_ text: String) throws -> [UInt32] {
            let body = "mad.wide.u32 %rd1, %t, 4, %first; ld.global.u32 %r0, [%rd1]; \(Self.mine) \(text) st.global.u32 [%rd0], %r1;"
            return try run(body, given, count: 32)
        }
        #expect(try shuffled("shfl.sync.bfly.b32 %r1, %r0, 5, 0x1f, 0xffffffff;") == words(32) { given[Int($0 ^ 5)] })
        #expect(try shuffled("shfl.sync.up.b32 %r1, %r0, 3, 0, 0xffffffff;") == words(32) { given[Int($0 < 3 ? $0 : $0 - 3)] })
        #expect(try shuffled("shfl.sync.down.b32 %r1, %r0, 3, 0x1f, -1;") == words(32) { given[Int($0 > 28 ? $0 : $0 + 3)] })
        #expect(try shuffled("shfl.sync.idx.b32 %r1, %r0, 2, 0x181f, 0xffffffff;") == words(32) { given[Int($0 / 8 * 8 + 2)] })
        #expect(try shuffled("shfl.sync.down.b32 %r2|%p1, %r0, 3, 0x1f, -1; selp.u32 %r1, 1, 0, %p1;") == words(32) { $0 > 28 ? 0 : 1 })
        #expect(try shuffled("setp.gt.u32 %p0, %t, 15; vote.sync.ballot.b32 %r1, %p0, -1;") == words(32) { _ in 0xffff_0000 })
        #expect(try shuffled("setp.gt.u32 %p0, %t, 15; vote.sync.any.pred %p1, %p0, -1; selp.u32 %r1, 1, 0, %p1;") == words(32) { _ in 1 })
        #expect(try shuffled("setp.gt.u32 %p0, %t, 15; vote.sync.all.pred %p1, !%p0, -1; selp.u32 %r1, 1, 0, %p1;") == words(32) { _ in 0 })
        #expect(try shuffled("mov.u32 %r1, 0; setp.gt.u32 %p0, %t, 3; @%p0 bra E; activemask.b32 %r1; E:") == words(32) { $0 > 3 ? 0 : 15 })
    }

    @Test("Loads and stores of every width, extended and in vectors")
    func widths() throws {
        let body = """
            ld.global.u8 %r0, [%first+1]; ld.global.s8 %r1, [%first+1]; ld.global.s16 %r2, [%first+2]; ld.global.u16 %h0, [%first+2];
            ld.global.nc.v4.u32 {%r4, %r5, %r6, %r7}, [%first]; ld.global.v2.u8 {%h1, %h2}, [%first]; ld.global.s32 %rd1, [%first+4]; ld.global.v2.b64 {%rd2, %rd3}, [%first+16];
            st.global.v4.u32 [%second], {%r0, %r1, %r2, %r7}; cvt.u32.u16 %r8, %h0; cvt.u32.u16 %r9, %h2; st.global.v2.b32 [%second+16], {%r8, %r9};
            st.global.u64 [%second+24], %rd1; st.global.v2.u64 [%second+32], {%rd3, %rd2}; st.global.u8 [%second+49], %r0; st.global.u16 [%second+54], %h0;
            """
        let given: [UInt32] = [0x8001_85ff, 0xffff_fff0, 3, 4, 5, 6, 7, 8]
        let found = try run(body, given, count: 14, threads: 1)
        #expect(found == [0x85, 0xffff_ff85, 0xffff_8001, 4, 0x8001, 0x85, 0xffff_fff0, 0xffff_ffff, 7, 8, 5, 6, 0xdead_85ef, 0x8001_beef])
    }

    @Test("Shared memory, by symbol and by generic address, and a barrier")
    func shared() throws {
        let body = """
            \(Self.mine) mov.u32 %r0, named; mov.u32 %r1, dynamic; shl.b32 %r2, %t, 2; add.u32 %r0, %r0, %r2; add.u32 %r1, %r1, %r2; add.u32 %r3, %t, 7;
            st.shared.u32 [%r0], %t; st.shared.u32 [%r1+4], %r3; bar.sync 0;
            mov.u64 %rd1, named; cvta.shared.u64 %rd2, %rd1; ld.u32 %r4, [%rd2+252]; ld.shared.u32 %r5, [dynamic+256];
            cvta.to.shared.u64 %rd3, %rd2; cvt.u32.u64 %r6, %rd3; ld.shared.u32 %r7, [%r6+8]; add.u32 %r4, %r4, %r5; add.u32 %r4, %r4, %r7; st.global.u32 [%rd0], %r4;
            """
        let before = ".shared .align 4 .b8 named[256];\n.extern .shared .align 16 .b8 dynamic[];"
        #expect(try run(body, before: before, [0], count: 64, threads: 64, sharedBytes: 260) == words(64) { _ in 63 + 70 + 2 })
    }

    @Test("Copies to shared memory arrive when they are waited for; what is missing is zero")
    func copies() throws {
        let body = """
            shl.b32 %r0, %t, 4; mad.wide.u32 %rd1, %t, 16, %first; mad.wide.u32 %rd2, %t, 16, %second; add.u32 %r1, %r0, 512; setp.lt.u32 %p0, %t, 2; selp.b32 %r2, 4, 0, %p0;
            cp.async.cg.shared.global [%r0], [%rd1], 16; cp.async.commit_group; cp.async.cg.shared.global [%r1], [%rd1], 16, %r2; cp.async.commit_group;
            cp.async.wait_group 1; bar.sync 0; xor.b32 %r0, %r0, 16; ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r0];
            cp.async.wait_group 0; ld.shared.v4.u32 {%r8, %r9, %r10, %r11}, [%r1]; st.global.v4.u32 [%rd2], {%r4, %r7, %r8, %r9};
            """
        let given = words(128) { $0 + 1000 }
        let found = try run(body, before: ".extern .shared .align 16 .b8 s[];", given, count: 128, sharedBytes: 1024)
        let expected = (0..<32).flatMap { (thread: Int) -> [UInt32] in
            [given[4 * (thread ^ 1)], given[4 * (thread ^ 1) + 3], thread < 2 ? given[4 * thread] : 0, 0]
        }
        #expect(found == expected)
    }

    @Test("Updates of global and shared memory by many threads")
    func updates() throws {
        let body = """
            setp.eq.u32 %p0, %t, 0; mov.u32 %r9, 5; @%p0 st.shared.u32 [s], %r9; bar.sync 0;
            atom.shared.add.u32 %r1, [s], 2; red.global.add.u32 [%second], %t; red.global.max.s32 [%second+4], %t; red.global.add.f32 [%second+8], 0f3F000000; bar.sync 0;
            ld.shared.u32 %r2, [s]; @%p0 red.global.add.u32 [%second+12], %r2; @%p0 atom.global.cas.b32 %r3, [%second+16], 0, 77; @%p0 atom.global.exch.b32 %r3, [%second+20], %r2;
            red.global.add.u64 [%second+24], 1;
            """
        let bench = try Bench()
        let (first, second) = (try bench.memory([UInt32](repeating: 0, count: 1)), try bench.memory([UInt32](repeating: 0, count: 8)))
        try bench.run(Bench.kernel(body, before: ".shared .align 4 .b8 s[4];"), first, second, threads: 64, blocks: 3)
        #expect(try bench.read(second, as: UInt32.self) == [6048, 63, Float(96).bitPattern, 399, 77, 133, 192, 0])
    }

    @Test("Memory of a thread, constants, and parameters by address")
    func others() throws {
        let before = ".const .align 4 .u32 table[3] = {7, 8, 0x9};\n.global .align 8 .f64 half = 0d3FE0000000000000;"
        let body = """
            .local .align 8 .b8 depot[16];
            \(Self.mine) mov.u64 %rd1, depot; cvta.local.u64 %rd2, %rd1; st.u32 [%rd2+4], %t; ld.local.u32 %r0, [%rd1+4];
            mov.u64 %rd3, table; ld.const.u32 %r1, [%rd3+8]; ld.global.f64 %rd4, [half]; cvt.rn.f32.f64 %r2, %rd4; mov.b64 %rd5, k_param_0; ld.param.u64 %rd6, [%rd5+8]; sub.s64 %rd7, %rd6, %second; cvt.u32.u64 %r3, %rd7;
            add.u32 %r0, %r0, %r1; add.u32 %r0, %r0, %r3; setp.eq.f32 %p0, %r2, 0f3F000000; @%p0 add.u32 %r0, %r0, 100; st.global.u32 [%rd0], %r0;
            """
        #expect(try run(body, before: before, [0], count: 32) == words(32) { $0 + 109 })
    }

    @Test("Products of int8 matrices, out of rows in shared memory")
    func products() throws {
        // A [16, 32] and B [8, 32] lie in shared memory; C is 5.
        let body = """
            shl.b32 %r0, %t, 3; mad.wide.u32 %rd1, %t, 8, %first; ld.global.v2.u32 {%r1, %r2}, [%rd1]; st.shared.v2.u32 [%r0], {%r1, %r2};
            ld.global.v2.u32 {%r1, %r2}, [%rd1+256]; st.shared.v2.u32 [%r0+256], {%r1, %r2}; ld.global.v2.u32 {%r1, %r2}, [%rd1+512]; st.shared.v2.u32 [%r0+512], {%r1, %r2}; bar.sync 0;
            and.b32 %r3, %t, 15; shr.u32 %r4, %t, 4; shl.b32 %r3, %r3, 5; shl.b32 %r4, %r4, 4; add.u32 %r3, %r3, %r4;
            ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r3];
            and.b32 %r5, %t, 7; shl.b32 %r5, %r5, 5; shl.b32 %r6, %t, 1; and.b32 %r6, %r6, 16; add.u32 %r5, %r5, %r6;
            ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r14, %r15}, [%r5+512];
            mov.u32 %r16, 5; mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r20, %r21, %r22, %r23}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%r16, %r16, %r16, %r16};
            shl.b32 %r7, %t, 3; cvt.u64.u32 %rd2, %r7; add.s64 %rd2, %rd2, %second; st.global.v2.u32 [%rd2], {%r20, %r21}; st.global.v2.u32 [%rd2+256], {%r22, %r23};
            """
        var random = SplitMix64(seed: 3)
        let bytes = (0..<768).map { _ in Int8(truncatingIfNeeded: random.next()) }
        let given = (0..<192).map { (at: Int) -> UInt32 in
            var word: UInt32 = 0
            for byte in (0..<4).reversed() { word = word << 8 | UInt32(UInt8(bitPattern: bytes[4 * at + byte])) }
            return word
        }
        let expected = (0..<128).map { (at: Int) -> UInt32 in
            var sum: Int32 = 5
            for k in 0..<32 { sum += Int32(bytes[at / 8 * 32 + k]) * Int32(bytes[512 + at % 8 * 32 + k]) }
            return UInt32(bitPattern: sum)
        }
        #expect(try run(body, before: ".extern .shared .align 16 .b8 s[];", given, count: 128, sharedBytes: 768) == expected)
    }

    @Test("Products of 16-bit floats, and matrices that are turned when they are loaded", arguments: ["bf16", "f16"])
    func halves(_ type: String) throws {
        // A is ones but for a row of twos; B [16 k, 8 n] is loaded turned, and is n + 1 at k = 3 only.
        let body = """
            shl.b32 %r0, %t, 3; mad.wide.u32 %rd1, %t, 8, %first; ld.global.v2.u32 {%r1, %r2}, [%rd1]; st.shared.v2.u32 [%r0], {%r1, %r2}; bar.sync 0;
            and.b32 %r3, %t, 15; shl.b32 %r3, %r3, 4; ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r14, %r15}, [%r3];
            ld.global.u32 %r10, [%first+256]; ld.global.u32 %r9, [%first+260]; setp.lt.u32 %p0, %t, 4; selp.b32 %r11, %r9, %r10, %p0; mov.b32 %r16, 0f3F000000;
            mma.sync.aligned.m16n8k16.row.col.f32.\(type).\(type).f32 {%r20, %r21, %r22, %r23}, {%r11, %r10, %r11, %r10}, {%r14, %r15}, {%r16, %r16, %r16, %r16};
            shl.b32 %r7, %t, 3; cvt.u64.u32 %rd2, %r7; add.s64 %rd2, %rd2, %second; st.global.v2.u32 [%rd2], {%r20, %r21}; st.global.v2.u32 [%rd2+256], {%r22, %r23};
            """
        func half(_ value: Float) -> UInt32 { type == "f16" ? UInt32(Float16(value).bitPattern) : value.bitPattern >> 16 }
        let b = words(128) { $0 / 8 == 3 ? half(Float($0 % 8 + 1)) : 0 }
        let given = words(64) { b[Int(2 * $0)] | b[Int(2 * $0 + 1)] << 16 } + [half(1) * 0x10001, half(2) * 0x10001]
        let expected = (0..<128).map { (at: Int) -> UInt32 in
            let product = Float(at % 8 + 1) * (at / 8 == 0 ? 2 : 1)
            return (product + 0.5).bitPattern
        }
        #expect(try run(body, before: ".extern .shared .align 16 .b8 s[];", given, count: 128, sharedBytes: 256) == expected)
    }
}

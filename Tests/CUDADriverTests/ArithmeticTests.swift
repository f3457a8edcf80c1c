import CUDADriver
import Testing

/// Instructions of the stand-in one by one, against known answers.
@Suite struct ArithmeticTests {
    /// A line "inputs | instruction | result". An instruction has the inputs as %a to %d (32 bits), %A to %D (64), %ha to %hc (16) and %pa, %pb, and
    /// gives %r, %R, %h or %p. Numbers are bits, with 0x or a sign, or with an f or d at their end the float or double.
    struct Case {
        let line: Substring
        let instruction: Substring
        let inputs: [UInt64]
        let expected: UInt64

        init(_ line: Substring) throws {
            let parts = line.split(separator: " | ", omittingEmptySubsequences: false).map { $0.split(separator: " ").joined(separator: " ")[...] }
            try #require(parts.count == 3, "\(line)")
            self.line = line
            instruction = parts[1]
            inputs = try parts[0].split(separator: " ").map(Self.bits)
            let result = try Self.bits(parts[2])
            expected =
                switch Self.result(of: instruction) {
                case "r": result & 0xffff_ffff
                case "h": result & 0xffff
                default: result
                }
        }

        private static func result(of instruction: Substring) -> Character? { instruction.drop { $0 != "%" }.dropFirst().first }

        static func bits(_ text: Substring) throws -> UInt64 {
            if text.hasPrefix("0x"), !text.contains("p") { return try #require(UInt64(text.dropFirst(2), radix: 16), "\(text)") }
            if text.last == "f" { return UInt64(try #require(Float(text.dropLast()), "\(text)").bitPattern) }
            if text.last == "d" { return try #require(Double(text.dropLast()), "\(text)").bitPattern }
            return UInt64(bitPattern: try #require(Int64(text), "\(text)"))
        }

        /// Loads inputs at %first, stores a result at %second.
        func kernel(at index: Int) -> String {
            let widened =
                switch Self.result(of: instruction) {
                case "r": "cvt.u64.u32 %R, %r;"
                case "h": "cvt.u64.u16 %R, %h;"
                case "p": "selp.u64 %R, 1, 0, %p;"
                default: ""
                }
            return """
                ld.global.v2.u64 {%A, %B}, [%first+\(32 * index)]; ld.global.v2.u64 {%C, %D}, [%first+\(32 * index + 16)];
                cvt.u32.u64 %a, %A; cvt.u32.u64 %b, %B; cvt.u32.u64 %c, %C; cvt.u32.u64 %d, %D;
                cvt.u16.u64 %ha, %A; cvt.u16.u64 %hb, %B; cvt.u16.u64 %hc, %C;
                setp.ne.u64 %pa, %A, 0; setp.ne.u64 %pb, %B, 0;
                \(instruction)
                \(widened)
                st.global.u64 [%second+\(8 * index)], %R;
                """
        }
    }

    private static func check(_ table: String) throws {
        let cases = try table.split(separator: "\n").map(Case.init)
        let bench = try Bench()
        let inputs = try bench.memory(cases.flatMap { $0.inputs + Array(repeating: 0, count: 4 - $0.inputs.count) })
        let results = try bench.fresh(8 * cases.count)
        let registers = ".reg .b32 %a, %b, %c, %d, %r; .reg .b64 %A, %B, %C, %D, %R; .reg .b16 %ha, %hb, %hc, %h; .reg .pred %pa, %pb, %p;\n"
        let text = registers + cases.enumerated().map { $1.kernel(at: $0) }.joined(separator: "\n")
        // A single thread and a whole warp take different ways through the interpreter.
        for threads in [1, 32] {
            try bench.stream.fill(results, with: 0x77)
            try bench.run(Bench.kernel(text), inputs, results, threads: threads)
            for (found, one) in zip(try bench.read(results, as: UInt64.self), cases) {
                #expect(found == one.expected, "\(one.line): found \(String(found, radix: 16))")
            }
        }
    }

    @Test("Integers")
    func integers() throws {
        try Self.check(
            """
            0x7fffffff 1 | add.s32 %r, %a, %b; | 0x80000000
            0 1 | sub.u32 %r, %a, %b; | 0xffffffff
            -1 2 | add.s64 %R, %A, %B; | 1
            0 1 | sub.s16 %h, %ha, %hb; | 0xffff
            0xffff | add.u16 %h, %ha, 1; | 0
            0x10001 0x10001 | mul.lo.s32 %r, %a, %b; | 0x20001
            0x200000001 0x80000000 | mul.lo.s64 %R, %A, %B; | 0x80000000
            0xffff 3 | mul.lo.s16 %h, %ha, %hb; | 0xfffd
            0xffffffff 0xffffffff | mul.hi.u32 %r, %a, %b; | 0xfffffffe
            -1 5 | mul.hi.s32 %r, %a, %b; | 0xffffffff
            0xffff 0xffff | mul.hi.u16 %h, %ha, %hb; | 0xfffe
            0xffff 3 | mul.hi.s16 %h, %ha, %hb; | 0xffff
            -1 -1 | mul.hi.u64 %R, %A, %B; | -2
            -1 5 | mul.hi.s64 %R, %A, %B; | -1
            -3 5 | mul.wide.s32 %R, %a, %b; | -15
            0xfffffffd 5 | mul.wide.u32 %R, %a, %b; | 0x4fffffff1
            0xffff 0xffff | mul.wide.u16 %r, %ha, %hb; | 0xfffe0001
            0xffff 2 | mul.wide.s16 %r, %ha, %hb; | -2
            3 -4 5 | mad.lo.s32 %r, %a, %b, %c; | -7
            -3 5 0x14 | mad.wide.s32 %R, %a, %b, %C; | 5
            0xffffffff 2 1 | mad.wide.u32 %R, %a, %b, %C; | 0x1ffffffff
            -7 2 | div.s32 %r, %a, %b; | -3
            -7 2 | rem.s32 %r, %a, %b; | -1
            -7 2 | div.u32 %r, %a, %b; | 0x7ffffffc
            7 0 | div.u32 %r, %a, %b; | 0xffffffff
            0x80000000 -1 | div.s32 %r, %a, %b; | 0x80000000
            0x80000000 -1 | rem.s32 %r, %a, %b; | 0
            -7 2 | div.s64 %R, %A, %B; | -3
            0x64 7 | rem.u64 %R, %A, %B; | 2
            0x64 7 | div.u16 %h, %ha, %hb; | 0xe
            -1 1 | min.s32 %r, %a, %b; | -1
            -1 1 | min.u32 %r, %a, %b; | 1
            -1 1 | max.s32 %r, %a, %b; | 1
            -1 1 | max.u64 %R, %A, %B; | -1
            0xffff 1 | max.s16 %h, %ha, %hb; | 1
            -9 | abs.s32 %r, %a; | 9
            0x80000000 | abs.s32 %r, %a; | 0x80000000
            9 | neg.s32 %r, %a; | -9
            9 | neg.s64 %R, %A; | -9
            3 0x1f | shl.b32 %r, %a, %b; | 0x80000000
            3 0x20 | shl.b32 %r, %a, %b; | 0
            0x80000000 0x28 | shr.s32 %r, %a, %b; | -1
            0x80000000 0x1f | shr.u32 %r, %a, %b; | 1
            0x80000000 0x20 | shr.u32 %r, %a, %b; | 0
            -8 1 | shr.s64 %R, %A, %b; | -4
            1 0x3f | shl.b64 %R, %A, %b; | 0x8000000000000000
            0x8000 0xf | shr.u16 %h, %ha, %b; | 1
            0x8001 1 | shl.b16 %h, %ha, %b; | 2
            0x8000 0xf | shr.s16 %h, %ha, %b; | 0xffff
            0xc 0xa | and.b32 %r, %a, %b; | 8
            0x10000000000 1 | or.b64 %R, %A, %B; | 0x10000000001
            0xc 0xa | xor.b32 %r, %a, %b; | 6
            0 | not.b32 %r, %a; | 0xffffffff
            0 | not.b16 %h, %ha; | 0xffff
            0 | not.b64 %R, %A; | -1
            0xf0f0 | popc.b32 %r, %a; | 8
            -1 | popc.b64 %r, %A; | 0x40
            1 | clz.b32 %r, %a; | 0x1f
            0 | clz.b32 %r, %a; | 0x20
            1 | clz.b64 %r, %A; | 0x3f
            1 | brev.b32 %r, %a; | 0x80000000
            1 | brev.b64 %R, %A; | 0x8000000000000000
            """)
    }

    @Test("Fields, permutations, choices and comparisons")
    func fields() throws {
        try Self.check(
            """
            0x12345678 | bfe.u32 %r, %a, 8, 8; | 0x56
            0xf0 | bfe.s32 %r, %a, 4, 4; | -1
            0xff000000 0x1c | bfe.u32 %r, %a, %b, 8; | 0xf
            0x80000000 | bfe.s32 %r, %a, 28, 8; | -8
            0xdeadbeef | bfe.u32 %r, %a, 0, 32; | 0xdeadbeef
            0xffff | bfe.u32 %r, %a, 3, 0; | 0
            0xffffffff | bfe.u32 %r, %a, 40, 4; | 0
            0x80000000 | bfe.s32 %r, %a, 40, 4; | -1
            0xff 0 | bfi.b32 %r, %a, %b, 8, 4; | 0xf00
            0xab 0xfffffff | bfi.b32 %r, %a, %b, 28, 8; | 0xbfffffff
            5 9 | bfi.b32 %r, %a, %b, 0, 32; | 5
            5 9 | bfi.b32 %r, %a, %b, 32, 8; | 9
            0x33221100 0x77665544 | prmt.b32 %r, %a, %b, 0x5410; | 0x55441100
            0x33221100 0 | prmt.b32 %r, %a, %b, 0x0123; | 0x112233
            0x807fff00 0 | prmt.b32 %r, %a, %b, 0xBA98; | 0xff00ff00
            0xc 0xa 6 | lop3.b32 %r, %a, %b, %c, 0x96; | 0
            0xc 0xa 6 | lop3.b32 %r, %a, %b, %c, 0xE8; | 0xe
            0xffff0000 0x12345678 0x9abcdef0 | lop3.b32 %r, %a, %b, %c, 0xCA; | 0x1234def0
            0x80000001 0x12345678 4 | shf.l.wrap.b32 %r, %a, %b, %c; | 0x23456788
            0x12345678 0xf 0x24 | shf.r.wrap.b32 %r, %a, %b, %c; | 0xf1234567
            0x12345678 0xf 0x24 | shf.r.clamp.b32 %r, %a, %b, %c; | 0xf
            0x12345678 0xf 0x28 | shf.l.clamp.b32 %r, %a, %b, %c; | 0x12345678
            0x7f80ff01 0x2020203 0xa | dp4a.s32.s32 %r, %a, %b, %c; | 9
            0xff000001 0x2000003 0xa | dp4a.u32.u32 %r, %a, %b, %c; | 0x20b
            0 7 | selp.b32 %r, %a, %b, %pa; | 7
            3 7 | selp.b64 %R, %A, %B, %pb; | 3
            1 | selp.b16 %h, 1, 2, %pa; | 1
            1 2 -1 | slct.b32.s32 %r, %a, %b, %c; | 2
            1 2 | mov.b64 %R, {%a, %b}; | 0x200000001
            1 2 | mov.b32 %r, {%ha, %hb}; | 0x20001
            0x500000006 | mov.b64 {%r, %b}, %A; | 6
            0x500000006 | mov.b64 {%r, %b}, %A; mov.u32 %r, %b; | 5
            0x50006 | mov.b32 {%h, %hb}, %a; | 6
            0x50006 | mov.b32 {%h, %hb}, %a; mov.u16 %h, %hb; | 5
             | mov.u32 %r, -5; | -5
             | mov.b32 %r, 0fBF800000; | 0xbf800000
             | mov.b64 %R, 0dBFF0000000000000; | -1.0d
            -1 1 | setp.lt.s32 %p, %a, %b; | 1
            -1 1 | setp.lt.u32 %p, %a, %b; | 0
            -1 | setp.ge.s64 %p, %A, 0; | 0
            0x10007 | setp.eq.b16 %p, %ha, 7; | 1
            1 0 | and.pred %p, %pa, %pb; | 0
            1 0 | or.pred %p, %pa, %pb; | 1
            1 1 | xor.pred %p, %pa, %pb; | 0
            0 | not.pred %p, %pa; | 1
            3 | mov.pred %p, %pa; | 1
            """)
    }

    @Test("Floats round to nearest, keep what is denormal, and have one NaN")
    func floats() throws {
        try Self.check(
            """
            1f 0x1p-24f | add.f32 %r, %a, %b; | 1f
            0x1.000002p0f 0x1p-24f | add.rn.f32 %r, %a, %b; | 0x1.000004p0f
            0x1p-149f 0x1p-149f | add.f32 %r, %a, %b; | 0x1p-148f
            0x1.fffffep127f 0x1.fffffep127f | add.f32 %r, %a, %b; | inff
            inff inff | sub.f32 %r, %a, %b; | 0x7fffffff
            0xffc12345 1f | add.f32 %r, %a, %b; | 0x7fffffff
            0f 0f | sub.rn.f32 %r, %a, %b; | 0f
            0x1p-70f 0x1.8p-79f | mul.f32 %r, %a, %b; | 0x1p-148f
            0x1p-75f 0x1p-75f | mul.f32 %r, %a, %b; | 0f
            -0f 5f | mul.rn.f32 %r, %a, %b; | -0f
            0f inff | mul.f32 %r, %a, %b; | 0x7fffffff
            0x1.000002p0f 0x1.fffffep-1f -1f | fma.rn.f32 %r, %a, %b, %c; | 0x1.fffffcp-25f
            0xffc12345 1f 1f | fma.rn.f32 %r, %a, %b, %c; | 0x7fffffff
            0x1p-149f 0.5f 0x1p-149f | fma.rn.f32 %r, %a, %b, %c; | 0x1p-148f
            1f 3f | div.rn.f32 %r, %a, %b; | 0x1.555556p-2f
            1f -0f | div.rn.f32 %r, %a, %b; | -inff
            0f 0f | div.rn.f32 %r, %a, %b; | 0x7fffffff
            0x1.8p-148f 2f | div.rn.f32 %r, %a, %b; | 0x1p-148f
            2f | sqrt.rn.f32 %r, %a; | 0x1.6a09e6p0f
            -1f | sqrt.rn.f32 %r, %a; | 0x7fffffff
            -0f | sqrt.rn.f32 %r, %a; | -0f
            3f | rcp.rn.f32 %r, %a; | 0x1.555556p-2f
            -0f 0f | min.f32 %r, %a, %b; | -0f
            -0f 0f | max.f32 %r, %a, %b; | 0f
            0xffc12345 2f | min.f32 %r, %a, %b; | 2f
            2f 0xffc12345 | max.f32 %r, %a, %b; | 2f
            0xffc12345 0xffc12345 | max.f32 %r, %a, %b; | 0x7fffffff
            2f 0xffc12345 | max.NaN.f32 %r, %a, %b; | 0x7fffffff
            -3f 2f | min.f32 %r, %a, %b; | -3f
            0xffc12345 | neg.f32 %r, %a; | 0x7fc12345
            0xffc12345 | abs.f32 %r, %a; | 0x7fc12345
            -1f 2f | copysign.f32 %r, %a, %b; | -2f
            1f nanf | setp.lt.f32 %p, %a, %b; | 0
            1f nanf | setp.ltu.f32 %p, %a, %b; | 1
            1f nanf | setp.ne.f32 %p, %a, %b; | 0
            1f nanf | setp.neu.f32 %p, %a, %b; | 1
            nanf nanf | setp.equ.f32 %p, %a, %b; | 1
            -0f 0f | setp.eq.f32 %p, %a, %b; | 1
            nanf 1f | setp.nan.f32 %p, %a, %b; | 1
            nanf 1f | setp.num.f32 %p, %a, %b; | 0
            1f 2f | setp.geu.f32 %p, %a, %b; | 0
            1d 0x1p-53d | add.f64 %R, %A, %B; | 1d
            0x1.0000000000001p0d 0x1.ffffffffffffep-1d -1d | fma.rn.f64 %R, %A, %B, %C; | -0x1p-104d
            3d 0.1d | mul.f64 %R, %A, %B; | 0x1.3333333333334p-2d
            1d 3d | div.rn.f64 %R, %A, %B; | 0x1.5555555555555p-2d
            2d | sqrt.rn.f64 %R, %A; | 0x1.6a09e667f3bcdp0d
            3d | rcp.rn.f64 %R, %A; | 0x1.5555555555555p-2d
            -0d 0d | min.f64 %R, %A, %B; | -0d
            nand 1d | max.f64 %R, %A, %B; | 1d
            1d | neg.f64 %R, %A; | -1d
            -1d | abs.f64 %R, %A; | 1d
            2d 1d | setp.gt.f64 %p, %A, %B; | 1
            2d nand | setp.leu.f64 %p, %A, %B; | 1
            """)
    }

    @Test("Conversions round as they say, and stop at the bounds")
    func conversions() throws {
        try Self.check(
            """
            2.5f | cvt.rni.s32.f32 %r, %a; | 2
            -3.5f | cvt.rni.s32.f32 %r, %a; | -4
            3e9f | cvt.rni.s32.f32 %r, %a; | 0x7fffffff
            -3e9f | cvt.rni.s32.f32 %r, %a; | 0x80000000
            nanf | cvt.rni.s32.f32 %r, %a; | 0
            -2.9f | cvt.rzi.s32.f32 %r, %a; | -2
            -2.1f | cvt.rmi.s32.f32 %r, %a; | -3
            2.1f | cvt.rpi.s32.f32 %r, %a; | 3
            -1f | cvt.rzi.u32.f32 %r, %a; | 0
            4e9f | cvt.rzi.u32.f32 %r, %a; | 0xee6b2800
            5e9f | cvt.rzi.u32.f32 %r, %a; | 0xffffffff
            -1e10f | cvt.rzi.s64.f32 %R, %a; | -10000000000
            nand | cvt.rzi.s64.f64 %R, %A; | 0x8000000000000000
            0.5d | cvt.rni.s32.f64 %r, %A; | 0
            1e30d | cvt.rzi.u64.f64 %R, %A; | -1
            2.5f | cvt.rni.f32.f32 %r, %a; | 2f
            -2.5f | cvt.rmi.f32.f32 %r, %a; | -3f
            2.5d | cvt.rpi.f64.f64 %R, %A; | 3.0d
            -0.5f | cvt.rzi.f32.f32 %r, %a; | -0.0f
            16777217 | cvt.rn.f32.s32 %r, %a; | 16777216f
            0xffffffff | cvt.rn.f32.u32 %r, %a; | 4294967296f
            -1 | cvt.rn.f32.s64 %r, %A; | -1f
            -1 | cvt.rn.f32.u64 %r, %A; | 0x1p64f
            0x1ffff | cvt.rn.f32.u16 %r, %ha; | 65535f
            0xffff | cvt.rn.f32.s16 %r, %ha; | -1f
            0xff | cvt.rn.f32.s8 %r, %ha; | -1f
            -7 | cvt.rn.f64.s32 %R, %a; | -7.0d
            -1 | cvt.rn.f64.u64 %R, %A; | 0x1p64d
            0.1f | cvt.f64.f32 %R, %a; | 0x3fb99999a0000000
            0.1d | cvt.rn.f32.f64 %r, %A; | 0.1f
            1e300d | cvt.rn.f32.f64 %r, %A; | inff
            -1 | cvt.u64.u32 %R, %a; | 0xffffffff
            -1 | cvt.s64.s32 %R, %a; | -1
            -2 | cvt.u32.u64 %r, %A; | 0xfffffffe
            0x180 | cvt.s32.s8 %r, %a; | -128
            0x180 | cvt.u32.u8 %r, %a; | 0x80
            0x8000 | cvt.s32.s16 %r, %ha; | -32768
            0x8000 | cvt.u32.u16 %r, %ha; | 0x8000
            0x12345 | cvt.u16.u32 %h, %a; | 0x2345
            0x80 | cvt.s16.s8 %h, %ha; | 0xff80
            0xffff | cvt.s64.s16 %R, %ha; | -1
            0xffff | cvt.u64.u16 %R, %ha; | 0xffff
            0xc8 | cvt.sat.s8.s32 %h, %a; | 0x7f
            -200 | cvt.sat.s8.s32 %h, %a; | 0xff80
            0x3c01 | cvt.f32.f16 %r, %ha; | 1.0009765625f
            0x8001 | cvt.f32.f16 %r, %ha; | -0x1p-24f
            0x7e55 | cvt.f32.f16 %r, %ha; | 0x7fffffff
            0xfc00 | cvt.f32.f16 %r, %ha; | -inff
            65520f | cvt.rn.f16.f32 %h, %a; | 0x7c00
            65519f | cvt.rn.f16.f32 %h, %a; | 0x7bff
            0x1p-25f | cvt.rn.f16.f32 %h, %a; | 0
            0x1.8p-25f | cvt.rn.f16.f32 %h, %a; | 1
            -1.0009765625f | cvt.rn.f16.f32 %h, %a; | 0xbc01
            nanf | cvt.rn.f16.f32 %h, %a; | 0x7fff
            0x3f808000 | cvt.rn.bf16.f32 %h, %a; | 0x3f80
            0x3f818000 | cvt.rn.bf16.f32 %h, %a; | 0x3f82
            1f -2f | cvt.rn.bf16x2.f32 %r, %a, %b; | 0x3f80c000
            1f -2f | cvt.rn.f16x2.f32 %r, %a, %b; | 0x3c00c000
            0x7f800001 | cvt.rn.bf16.f32 %h, %a; | 0x7fff
            """)
    }
}

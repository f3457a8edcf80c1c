import Tensors
import TestKit
import Testing

@Suite struct ConversionsTests {
    private func encoded(_ dtype: DType, _ shape: Shape, _ bytes: [UInt8]) throws -> EncodedTensor {
        let result = try EncodedTensor(dtype: dtype, shape: shape)
        unsafe result.buffer.mutableBytes.copyBytes(from: bytes)
        return result
    }

    private func bytes<Element>(_ elements: [Element]) -> [UInt8] { unsafe elements.withUnsafeBytes { unsafe Array($0) } }

    @Test func everySixteenBitFloatIsWidenedExactly() throws {
        let patterns = (0...UInt16.max).map { $0 }
        let half = try encoded(.f16, [patterns.count], bytes(patterns)).widened().elements
        let brain = try encoded(.bf16, [patterns.count], bytes(patterns)).widened().elements
        let wrong = patterns.indices.filter { index in
            let expected = Float(Float16(bitPattern: patterns[index]))
            let isExact = half[index] == expected || half[index].isNaN && expected.isNaN
            return !isExact || brain[index].bitPattern != UInt32(patterns[index]) << 16
        }
        #expect(wrong.isEmpty)
    }

    @Test func widenedNumbersNarrowBack() throws {
        let patterns = (0...UInt16.max).filter { Float16(bitPattern: $0).isFinite }
        let half = try encoded(.f16, [patterns.count], bytes(patterns))
        #expect(try half.widened().narrowed(to: .f16).contents == half.contents)
        let brain = try encoded(.bf16, [patterns.count], bytes(patterns.map { $0 & 0xBFFF }))
        #expect(try brain.widened().narrowed(to: .bf16).contents == brain.contents)
    }

    @Test func elementsThatDifferAreCounted() throws {
        let one = try EncodedTensor(dtype: .bf16, shape: [2, 3], elements: [1, 2, 3, 4, 5, 6] as [UInt16])
        let other = try EncodedTensor(dtype: .bf16, shape: [2, 3], elements: [1, 2, 0x103, 4, 5, 7] as [UInt16])
        let difference = one.difference(from: other)
        #expect(difference?.first == 2 && difference?.count == 2 && one.difference(from: one) == nil)
        #expect(other.elements(of: UInt16.self) == [1, 2, 0x103, 4, 5, 7])
        let doubles = try Tensor([2], [1.5, -0x1p-149]).narrowed(to: .f64)
        #expect(doubles.elements(of: Double.self) == [1.5, -0x1p-149] && doubles.double(at: 1) == -0x1p-149)
    }

    @Test func narrowingRoundsHalfToEven() throws {
        let tensor = try Tensor([4], [1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-11, 70_000])
        #expect(try tensor.narrowed(to: .bf16).widened().elements == [1, 1 + 0x4p-8, 1, 70_144])
        #expect(try tensor.narrowed(to: .f16).widened().elements == [1 + 0x1p-8, 1 + 0x3p-8, 1, .infinity])
        #expect(try tensor.narrowed(to: .f32).widened().elements == tensor.elements)
    }

    @Test func integersAndDoublesAreRounded() throws {
        #expect(try encoded(.i8, [3], bytes([Int8.min, -1, 127])).widened().elements == [-128, -1, 127])
        #expect(try encoded(.u8, [2], [0, 255]).widened().elements == [0, 255])
        #expect(try encoded(.bool, [2], [0, 1]).widened().elements == [0, 1])
        #expect(try encoded(.i16, [2], bytes([Int16.min, 7])).widened().elements == [-32_768, 7])
        #expect(try encoded(.u16, [1], bytes([UInt16.max])).widened().elements == [65_535])
        #expect(try encoded(.i32, [2], bytes([Int32.min, 16_777_217])).widened().elements == [-2_147_483_648, 16_777_216])
        #expect(try encoded(.u32, [1], bytes([UInt32.max])).widened().elements == [4_294_967_296])
        #expect(try encoded(.i64, [1], bytes([Int64(-3)])).widened().elements == [-3])
        #expect(try encoded(.u64, [1], bytes([UInt64(3)])).widened().elements == [3])
        #expect(try encoded(.f64, [2], bytes([1 + 0x1p-24, 1e300])).widened().elements == [1, .infinity])
    }

    @Test func bfloat16BitsOfSpecialNumbers() {
        #expect(Float.nan.bfloat16Bits & 0x7FFF > 0x7F80)
        #expect(Float.infinity.bfloat16Bits == 0x7F80 && Float.greatestFiniteMagnitude.bfloat16Bits == 0x7F80)
        #expect((-0.0 as Float).bfloat16Bits == 0x8000)
    }
}

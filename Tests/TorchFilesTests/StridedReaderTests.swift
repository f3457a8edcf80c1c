import Files
import Tensors
import TestKit
import Testing

@testable import TorchFiles

/// Views gathered by windows, against the definition: element by element.
struct StridedReaderTests {
    private func check(_ sizes: [Int], _ strides: [Int], offset: Int, dtype: DType, ranges: [Range<Int>], _ file: InputFile, _ bytes: [UInt8]) throws {
        let view = try TensorView(
            dtype: dtype, offset: Int64(offset), sizes: sizes.map(Int64.init), strides: strides.map(Int64.init), storageByteCount: UInt64(bytes.count))
        let size = dtype.byteCount
        for range in ranges {
            var found = [UInt8](repeating: 0xAA, count: range.count * size)
            unsafe try found.withUnsafeMutableBytes { unsafe try StridedReader(file: file, base: 0, view: view).read(range, into: $0) }
            var expected: [UInt8] = []
            for element in range {
                var (rest, place) = (element, offset)
                for axis in sizes.indices.reversed() {
                    place += rest % sizes[axis] * strides[axis]
                    rest /= sizes[axis]
                }
                expected += bytes[(place * size)..<((place + 1) * size)]
            }
            #expect(found == expected, "\(sizes) by \(strides) from \(offset): \(range)")
        }
    }

    @Test("any view, any range") func anything() throws {
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 5)
        let bytes = (0..<40_000).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        let file = try InputFile(path: try folder.put(bytes, "storage"))
        for _ in 0..<400 {
            let dtype = [DType.u8, .f16, .f32, .f64].randomElement(using: &random) ?? .u8
            let capacity = bytes.count / dtype.byteCount
            let sizes = (0..<Int.random(in: 0...4, using: &random)).map { _ in Int.random(in: 1...6, using: &random) }
            let strides = sizes.map { _ in Int.random(in: 0...9, using: &random) * [1, 1, 7, 60].randomElement(using: &random)! }
            let reach = zip(sizes, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
            guard reach < capacity else { continue }
            let count = sizes.reduce(1, *)
            let start = Int.random(in: 0..<count, using: &random)
            let ranges = [0..<count, start..<Int.random(in: start...count, using: &random), start..<start + 1]
            try check(sizes, strides, offset: Int.random(in: 0..<(capacity - reach), using: &random), dtype: dtype, ranges: ranges, file, bytes)
        }
    }

    @Test(
        "views larger than a window",
        arguments: [([900, 700], [1, 900]), ([700, 450], [900, 2]), ([3, 600, 350], [1, 1050, 3]), ([630_000], [1]), ([2, 315_000], [0, 2])])
    func windows(sizes: [Int], strides: [Int]) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<2_520_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 11) }
        let file = try InputFile(path: try folder.put(bytes, "storage"))
        let count = sizes.reduce(1, *)
        try check(sizes, strides, offset: 0, dtype: .f32, ranges: [0..<count, 17..<(count / 2), (count - 3)..<count], file, bytes)
    }

    @Test(
        "what is no view is refused",
        arguments: [
            (-1, [2], [1]), (0, [-1], [1]), (0, [2], [-1]), (0, [2], [1, 1]), (99, [2], [1]), (0, [101], [1]), (0, [1 << 62, 4], [0, 0]),
            (0, [2, 2], [.max, 1]),
            (.max, [2], [1]), (0, [1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0, 0]), (100, [], []),
        ] as [(Int64, [Int64], [Int64])])
    func refused(offset: Int64, sizes: [Int64], strides: [Int64]) {
        #expect(throws: TensorView.Fault.self) { try TensorView(dtype: .f32, offset: offset, sizes: sizes, strides: strides, storageByteCount: 400) }
    }

    @Test("what lies in order is merged into one piece") func contiguous() throws {
        func view(_ sizes: [Int64], _ strides: [Int64]) throws -> TensorView {
            try TensorView(dtype: .f32, offset: 0, sizes: sizes, strides: strides, storageByteCount: 4000)
        }
        #expect(try view([2, 3, 4], [12, 4, 1]).isContiguous)
        #expect(try view([2, 1, 4], [4, 99, 1]).isContiguous)
        #expect(try view([0, 4], [9, 9]).isContiguous)
        #expect(try view([], []).isContiguous)
        #expect(try !view([2, 3], [1, 2]).isContiguous)
        #expect(try !view([5], [2]).isContiguous)
        #expect(try view([4, 3, 2], [6, 2, 1]).axes == [.init(extent: 24, stride: 1)])
    }
}

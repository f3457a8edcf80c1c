import Tensors
import TestKit
import Testing

@testable import PackedFiles

@Suite struct SchemeTests {
    /// The definition of the quantizer (Formats/schemes.md, "The integer contract"), in the plainest form.
    static func quantized(_ row: ArraySlice<Float>) -> (values: [Int8], scale: Float) {
        let quotient = (row.map(\.magnitude).max() ?? 0) / 127
        let scale: Float = quotient == 0 ? 1 : quotient
        return (row.map { Int8(min(max(($0 / scale).rounded(.toNearestOrEven), -127), 127)) }, scale)
    }

    static let widths = [1, 2, 7, 15, 16, 17, 31, 32, 33, 64, 67, 200]

    @Test("int8-per-channel follows the definition bit for bit", arguments: widths)
    func quantizer(width: Int) throws {
        for (round, scale) in [Float(0.02), 1, 1e-30, 1e-38, 0x1p-134, 1e37].enumerated() {
            var values = Samples.weights(5 * width, seed: UInt64(width * 16 + round), scale: scale)
            for index in 0..<width { values[2 * width + index] = index % 2 == 0 ? 0 : -0 }
            // A row of exact halves, whose ties go to the even neighbour.
            for index in 0..<width { values[3 * width + index] = index == 0 ? 127 : Float(index % 40) - 19.5 }
            let planes = try Scheme.int8PerChannel.encode(Tensor([5, width], values), subject: "w")
            let decoded = try Scheme.int8PerChannel.decode(planes, shape: [5, width]).elements
            let scales = try planes[1].widened().elements
            for row in 0..<5 {
                let expected = Self.quantized(values[row * width..<(row + 1) * width])
                #expect(scales[row] == expected.scale)
                #expect(planes[0].array[row * width..<(row + 1) * width].map { Int8(bitPattern: $0) } == expected.values)
                for (value, code) in zip(decoded[row * width..<(row + 1) * width], expected.values) { #expect(value == expected.scale * Float(code)) }
            }
        }
    }

    @Test("A decoded value is within the scheme's bound, and the bound is tight", arguments: SchemeList.builtIn.schemes)
    func bound(scheme: Scheme) throws {
        for (round, scale) in [Float(0.02), 300, 1e-6, 3e-8, 0x1p-130, 0x1p-141].enumerated() {
            let source = try Tensor([16, 256], Samples.weights(4096, seed: UInt64(round), scale: scale))
            var planes = try scheme.encode(source, subject: "w")
            let check = try scheme.checkBound(planes, source: source)
            #expect(check.holds, "scale \(scale)")
            if scheme != .f32 && scale > 1e-6 { #expect(check.largestShare > 0.9 && check.largestShare <= 1, "scale \(scale)") }
            if scheme == .f32 { #expect(check.largestShare == 0) }

            // Two codes further is too far for every scheme.
            if scale == 0.02 {
                var bytes = planes[0].array
                // Even: of two codes in a byte the one in the low half.
                let element = 16 * 256 - 4
                bytes[element * bytes.count / source.count] ^= 2
                planes[0] = try EncodedTensor(planes[0].dtype, planes[0].shape, bytes)
                let broken = try scheme.checkBound(planes, source: source)
                #expect(broken.violations == 1 && broken.first == element)
            }
        }
    }

    @Test("int8-rotated is int8-per-channel of turned rows, there and back")
    func rotated() throws {
        let source = try Tensor([4, 96], Samples.weights(384, seed: 5))
        let turned = try Scheme.int8Rotated.basis(of: source)
        let (planes, expected) = (try Scheme.int8Rotated.encode(source, subject: "w"), try Scheme.int8PerChannel.encode(turned, subject: "w"))
        #expect(planes[0].array == expected[0].array && planes[1].array == expected[1].array)
        let decoded = try Scheme.int8Rotated.decode(planes, shape: source.shape)
        let back = try Scheme.int8Rotated.basis(of: Scheme.int8PerChannel.decode(expected, shape: source.shape))
        #expect(decoded.elements == back.elements)
    }

    @Test("Turning shares an outlier among its block: the row keeps its resolution")
    func rotatedOutlier() throws {
        var values = Samples.weights(3200, seed: 6, scale: 1)
        for row in 0..<10 { values[320 * row + 31 * row] = 60 }
        let source = try Tensor([10, 320], values)
        func sqnr(_ scheme: Scheme) throws -> Double {
            var sum = QuantizationErrorSum()
            sum.add(decoded: try scheme.decode(scheme.encode(source, subject: "w"), shape: source.shape), source: source)
            return try #require(sum.result.sqnr)
        }
        #expect(try sqnr(.int8Rotated) > sqnr(.int8PerChannel) + 8)
    }

    @Test("Rows that are no blocks of 32, and sums beyond float32, are refused")
    func rotatedRefusals() throws {
        #expect(Scheme.int8Rotated.holds([7, 64]) && !Scheme.int8Rotated.holds([64, 7]) && !Scheme.int8Rotated.holds([64]) && Scheme.f16.holds([64, 7]))
        let error = #expect(throws: PackedFileError.self) {
            try Scheme.int8Rotated.encode(Tensor([1, 32], [Float](repeating: 3e38, count: 32)), subject: "w", firstElement: 32)
        }
        #expect(error?.failure == .outOfRange)
        #expect(error?.description.contains("tensor w, element 32") == true)
    }

    @Test("A clamped value of a subnormal scale stays within the bound")
    func subnormalScale() throws {
        let smallest = Float.leastNonzeroMagnitude
        for count in [1, 63, 64, 127, 178, 190, 191, 254, 300, 1000] {
            let source = try Tensor([1, 3], [Float(count) * smallest, -Float(count / 2) * smallest, 0])
            let planes = try Scheme.int8PerChannel.encode(source, subject: "w")
            #expect(try Scheme.int8PerChannel.checkBound(planes, source: source).holds, "\(count)")
        }
    }

    @Test("16-bit sources pass through bit by bit, NaN payloads and subnormals included", arguments: [(Scheme.f16, DType.f16), (.bf16, .bf16)])
    func passThrough(scheme: Scheme, dtype: DType) throws {
        let all = (0...UInt16.max).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        let planes = try scheme.encode(EncodedTensor(dtype, [256, 256], all), subject: "w")
        #expect(planes.count == 1 && planes[0].array == all)
    }

    @Test("Every finite 16-bit code decodes and encodes to itself", arguments: [(Scheme.f16, UInt16(0x7C00)), (.bf16, 0x7F80)])
    func codes(scheme: Scheme, exponent: UInt16) throws {
        let codes = (0...UInt16.max).filter { $0 & exponent != exponent }
        let bytes = codes.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        let dtype = scheme.planes(for: [1])[0].dtype
        let decoded = try scheme.decode([EncodedTensor(dtype, [codes.count], bytes)], shape: [codes.count])
        #expect(try scheme.encode(decoded, subject: "w")[0].array == bytes)
    }

    @Test("What a scheme cannot hold is an error that names tensor, element and value")
    func outOfRange() throws {
        let cases: [(Scheme, Float, Float)] = [(.f16, 65519.996, 65520), (.bf16, 3.3895314e38, Float(bitPattern: 0x7F7F_8000))]
        for (scheme, fits, tooLarge) in cases {
            _ = try scheme.encode(Tensor([2], [0, -fits]), subject: "w")
            let error = #expect(throws: PackedFileError.self) { try scheme.encode(Tensor([2], [0, -tooLarge]), subject: "w", firstElement: 10) }
            #expect(error?.failure == .outOfRange)
            #expect(error?.description.contains("tensor w, element 11") == true)
        }
        let wide = try EncodedTensor(.f64, [1], [0, 0, 0, 0, 0, 0, 0xF0, 0x7E])
        #expect(throws: PackedFileError.self) { try Scheme.f32.encode(wide, subject: "w") }
        for value in [Float.nan, .infinity, -.infinity] {
            #expect(throws: PackedFileError.self) { try Scheme.int8Rotated.encode(Tensor([1, 32], [Float](repeating: value, count: 32)), subject: "w") }
            let error = #expect(throws: PackedFileError.self) { try Scheme.int8PerChannel.encode(Tensor([1, 3], [0, 1, value]), subject: "w") }
            #expect(error?.failure == .nonfinite)
            #expect(error?.description.contains("element 2") == true)
        }
    }

    @Test("Float schemes keep infinities and NaN")
    func nonfinite() throws {
        for scheme in [Scheme.f32, .f16, .bf16] {
            let source = try Tensor([3], [.infinity, -.infinity, .nan])
            let decoded = try scheme.decode(scheme.encode(source, subject: "w"), shape: [3]).elements
            #expect(decoded[0] == .infinity && decoded[1] == -.infinity && decoded[2].isNaN)
            #expect(try scheme.checkBound(scheme.encode(source, subject: "w"), source: source).holds)
        }
    }

    @Test("The quantization error does not depend on how the rows come")
    func errorSum() throws {
        let source = try Tensor([30, 40], Samples.weights(1200, seed: 3))
        let decoded = try Scheme.int8PerChannel.decode(Scheme.int8PerChannel.encode(source, subject: "w"), shape: source.shape)
        var whole = QuantizationErrorSum()
        whole.add(decoded: decoded, source: source)
        var parts = QuantizationErrorSum()
        for rows in [0..<1, 1..<18, 18..<30] {
            func part(_ tensor: Tensor) throws -> Tensor { try Tensor([rows.count, 40], Array(tensor.elements[rows.lowerBound * 40..<rows.upperBound * 40])) }
            parts.add(decoded: try part(decoded), source: try part(source))
        }
        #expect(whole.result == parts.result)
        let noise = zip(decoded.elements, source.elements).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
        let signal = source.elements.reduce(0) { $0 + Double($1) * Double($1) }
        #expect(abs(whole.result.relativeL2 - (noise / signal).squareRoot()) < 1e-12)
        #expect(whole.result.sqnr.map { $0 > 35 && $0 < 50 } == true)

        var exact = QuantizationErrorSum()
        exact.add(decoded: source, source: source)
        #expect(exact.result == QuantizationError(relativeL2: 0, maxAbs: 0) && exact.result.sqnr == nil)
    }
}

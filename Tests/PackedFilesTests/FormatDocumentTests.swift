import Files
import Tensors
import TestKit
import Testing

@testable import PackedFiles

/// The documents say what the code does.
@Suite struct FormatDocumentTests {
    /// An example block of schemes.md: its title, and the bytes of each of its lines.
    struct Example {
        let title: String
        var lines: [String: [UInt8]] = [:]
    }

    static func examples() throws -> [Example] {
        var examples: [Example] = []
        var isInside = false
        for line in String(decoding: try contents(formats("schemes.md")), as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
            if words.first?.hasPrefix("```") == true { isInside = false }
            if words.first == "example" {
                isInside = true
                examples.append(Example(title: words.dropFirst().joined(separator: " ")))
            } else if isInside, let name = words.first {
                let digits = Array(words.dropFirst().joined())
                examples[examples.count - 1].lines[name] = stride(from: 0, to: digits.count - 1, by: 2)
                    .compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
            }
        }
        return examples
    }

    private static func tensor(_ bytes: [UInt8], _ shape: Shape) throws -> Tensor { try EncodedTensor(.f32, shape, bytes).widened() }

    @Test("The worked examples of schemes.md are what the code computes")
    func schemes() throws {
        let examples = try Self.examples()
        let others: [Substring] = ["integer-contract", "integer-convolution"]
        #expect(Set(examples.map { $0.title.split(separator: " ")[0] }) == Set(SchemeList.builtIn.names.map { Substring($0) } + others))
        for scheme in SchemeList.builtIn.schemes {
            let example = try #require(examples.first { $0.title.hasPrefix("\(scheme.name) ") })
            let extents = example.title.dropFirst(scheme.name.utf8.count + 2).dropLast().split(separator: ", ").compactMap { Int($0) }
            let source = try Self.tensor(#require(example.lines["source"]), Shape(extents))
            // What a calibration chose is no function of the source: it is given.
            let calibration = example.lines["exponents"].map { codes in
                Calibration(inputMagnitudes: codes.map { Float(sign: .plus, exponent: Int(Int8(bitPattern: $0)), significand: 1) })
            }
            let planes = try scheme.encode(source, subject: "example", calibration: calibration)
            for (plane, specification) in zip(planes, scheme.planes(for: source.shape)) {
                #expect(plane.array == example.lines[specification.name], "\(example.title), \(specification.name)")
            }
            #expect(example.lines.count == planes.count + 2)
            #expect(try EncodedTensor(scheme.decode(planes, shape: source.shape)).array == example.lines["decoded"], "\(example.title)")
            #expect(try scheme.checkBound(planes, source: source).holds)
        }
    }

    @Test("The example of the integer contract follows from its formulas")
    func integerContract() throws {
        let examples = try Self.examples()
        let lines = try #require(examples.first { $0.title == "integer-contract" }).lines
        let weights = try #require(examples.first { $0.title.hasPrefix("int8-per-channel") }).lines
        let x = try Self.tensor(#require(lines["x"]), [1, 4])
        let quantized = try Scheme.int8PerChannel.encode(x, subject: "x")
        #expect(quantized[0].array == lines["qx"] && quantized[1].array == lines["sx"])
        let codes = try #require(weights["values"]).map { Int32(Int8(bitPattern: $0)) }
        let scales = try Self.tensor(#require(weights["scales"]), [3]).elements
        let bias = try Self.tensor(#require(lines["bias"]), [3]).elements
        let step = try quantized[1].widened().elements[0]
        var accumulators: [UInt8] = []
        var outputs: [Float] = []
        for channel in 0..<3 {
            let sum = zip(quantized[0].array, codes[4 * channel..<4 * channel + 4]).reduce(Int32(0)) { $0 + Int32(Int8(bitPattern: $1.0)) * $1.1 }
            for shift in [0, 8, 16, 24] { accumulators.append(UInt8(truncatingIfNeeded: sum >> Int32(shift))) }
            outputs.append(bias[channel].addingProduct(step * scales[channel], Float(sum)))
        }
        #expect(accumulators == lines["acc"])
        #expect(try EncodedTensor(Tensor([3], outputs)).array == lines["y"])
    }

    @Test("The example of the integer convolution follows from its formulas")
    func integerConvolution() throws {
        let lines = try #require(Self.examples().first { $0.title == "integer-convolution" }).lines
        let quantized = try Scheme.int8PerChannel.encode(Self.tensor(#require(lines["x"]), [2, 2]), subject: "x")
        #expect(quantized[0].array == lines["qx"] && quantized[1].array == lines["sx"])
        let (codes, weights) = (quantized[0].array.map { Int32(Int8(bitPattern: $0)) }, try #require(lines["values"]).map { Int32(Int8(bitPattern: $0)) })
        let steps = try quantized[1].widened().elements
        let (scale, bias) = (try Self.tensor(#require(lines["scales"]), [1]).elements[0], try Self.tensor(#require(lines["bias"]), [1]).elements[0])
        let outputs = (0..<2).map { column in
            var sum: Float = 0
            // The one row of pixels lies under the middle row of taps.
            for tap in 3..<6 {
                let pixel = column + tap - 4
                guard (0..<2).contains(pixel) else { continue }
                let accumulator = (0..<2).reduce(Int32(0)) { $0 + codes[2 * pixel + $1] * weights[2 * tap + $1] }
                sum.addProduct(steps[pixel], Float(accumulator))
            }
            return bias.addingProduct(sum, scale)
        }
        #expect(try EncodedTensor(Tensor([2], outputs)).array == lines["y"])
    }

    @Test("packed.md lists every failure, every codec and every limit")
    func packed() throws {
        let text = String(decoding: try contents(formats("packed.md")), as: UTF8.self)
        for failure in PackedFileFailure.allCases { #expect(text.contains("`\(failure.rawValue)`"), "\(failure.rawValue)") }
        for codec in Codec.allCases { #expect(text.contains("| `\(codec.rawValue)` |")) }
        for known in TensorLayout.allCases.map(\.rawValue) + ActivationScheme.allCases.map(\.rawValue) { #expect(text.contains("`\(known)`")) }
        for (limit, unit) in [
            (Limits.directoryBytes, " bytes"), (Limits.tensors, " tensors"), (Limits.blobs, " blobs"), (Limits.components, " components"),
            (Limits.sourcesPerTensor, " sources"), (Limits.planesPerTensor, " planes"), (Limits.nameBytes, " bytes"), (Limits.rank, " extents"),
            (Limits.frameBytes, " content bytes"),
            (Limits.directoryDepth, " levels"), (Limits.plainDirectoryBytes, " bytes"),
        ] {
            #expect(text.replacing("\n", with: " ").contains("\(Self.grouped(limit))\(unit)"), "\(limit)\(unit)")
        }
    }

    /// A scheme may add its own few lines, and nothing but them.
    @Test("The second reader stays small: the container, and each scheme")
    func secondReader() throws {
        let text = String(decoding: try contents(formats("reader.py")), as: UTF8.self)
        let (start, end) = (try #require(text.firstRange(of: "\n# schemes.md")), try #require(text.firstRange(of: "\n# packed.md")))
        let lines = text.count { $0 == "\n" }
        let schemes = text[start.upperBound..<end.lowerBound].count { $0 == "\n" }
        #expect(lines - schemes <= 180)
        #expect(schemes <= 10 * SchemeList.builtIn.schemes.count)
    }

    /// Decimal digits in groups of three.
    private static func grouped(_ number: Int) -> String {
        let digits = Array(String(number))
        return digits.indices.map { ($0 > 0 && (digits.count - $0) % 3 == 0 ? "," : "") + String(digits[$0]) }.joined()
    }
}

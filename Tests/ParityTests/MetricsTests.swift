import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Parity

/// What numpy and scikit-image computed in float64 for the tensors of Tests/Fixtures/metrics.
struct MetricFixtures {
    let cases: SafetensorsFile
    let expected: JSONObject

    init() throws {
        cases = try SafetensorsFile.open(Fixtures.path("metrics/cases.safetensors"))
        let text = try InputFile(path: Fixtures.path("metrics/expected.json")).contents(limit: 1 << 20)
        expected = try JSONFields(JSONValue.parse(text), subject: "expected.json").object
    }

    func pair(_ name: String) throws -> (reference: EncodedTensor, other: EncodedTensor) {
        (try cases.read("\(name).reference"), try cases.read("\(name).other"))
    }

    func value(_ name: String, _ measure: String) -> Double? { expected[name]?[measure]?.double }
}

func close(_ value: Double?, _ expected: Double?, relative: Double = 1e-12) -> Bool {
    guard let value, let expected else { return value == nil && expected == nil }
    return abs(value - expected) <= relative * max(abs(expected), 1e-300)
}

@Suite struct MetricsTests {
    @Test(
        "equal what numpy computes",
        arguments: ["noise", "rounding", "same", "opposite", "unrelated", "one", "offset", "huge", "tiny", "spike"])
    func fixtures(name: String) throws {
        let fixtures = try MetricFixtures()
        let pair = try fixtures.pair("vector.\(name)")
        let metrics = Metrics(reference: pair.reference, other: pair.other)
        #expect(close(metrics.relativeL2, fixtures.value("vector.\(name)", "relative_l2")))
        #expect(close(metrics.sqnr, fixtures.value("vector.\(name)", "sqnr_db"), relative: 1e-11))
        #expect(close(metrics.cosine, fixtures.value("vector.\(name)", "cosine")))
        #expect(metrics.maxAbs == fixtures.value("vector.\(name)", "max_abs"))
        #expect(metrics.count == pair.reference.shape.elementCount)
    }

    private func metrics(_ reference: [Float], _ other: [Float]) throws -> Metrics {
        Metrics(reference: try Tensor([reference.count], reference), other: try Tensor([other.count], other))
    }

    @Test func nonfiniteElementsStayOutOfTheSumsAndAreCounted() throws {
        let same = try metrics([3, .nan, .infinity, 4], [3, .nan, .infinity, 4])
        #expect(same.isExact && same.relativeL2 == 0 && same.mismatches == 0)
        #expect(same.referenceNaN == 1 && same.otherNaN == 1 && same.referenceInfinite == 1 && same.otherInfinite == 1)

        let different = try metrics([3, 1, .infinity, 4], [3, .nan, -.infinity, 4])
        #expect(different.mismatches == 2 && different.worstElement == 1 && !different.isExact)
        #expect(different.relativeL2 == 0, "what is not finite has no place in a sum")
        #expect(!Gate(.relativeL2(1), reason: "").accepts(different), "but no gate lets it pass")
    }

    @Test func zeroReference() throws {
        #expect(try metrics([0, 0], [0, -0]).isExact)
        let noise = try metrics([0, 0], [0, 1e-9])
        #expect(noise.relativeL2 == .infinity && noise.sqnr == -.infinity && noise.cosine == 0)
        #expect(!Gate(.relativeL2(1), reason: "").accepts(noise))
    }

    @Test func worstElementIsNamed() throws {
        let metrics = try metrics([1, 2, 3, 4], [1, 2.5, 2, 4])
        #expect(metrics.maxAbs == 1 && metrics.worstElement == 2)
    }

    @Test func rowsOutsideTheMaskDoNotCount() throws {
        let reference = EncodedTensor(try Tensor([1, 3, 2], [1, 2, 3, 4, 5, 6]))
        let other = EncodedTensor(try Tensor([1, 3, 2], [1, 2, 99, .nan, 5, 7]))
        let metrics = Metrics(reference: reference, other: other, keep: [true, false, true])
        #expect(metrics.count == 4 && metrics.maxAbs == 1 && metrics.mismatches == 0)
    }

    @Test func blocksDoNotShowAtTheirEdges() throws {
        for count in [1023, 1024, 1025, 5000] {
            let reference = (0..<count).map { Float($0) }
            var other = reference
            other[count - 1] += 1
            #expect(try metrics(reference, other).worstElement == count - 1)
        }
    }

    @Test(
        "units in the last place",
        arguments: [
            (UnitsInLastPlace.float32, 1.0, 1.0 + 0x1p-23, 1), (.float32, 1.0, 1.0 - 0x1p-24, 1), (.float32, -0x1p-149, 0x1p-149, 2),
            (.float32, 1.0, 1.0 + 0x1p-40, 0), (.bfloat16, 1.0, 1.0 + 0x1p-7, 1), (.bfloat16, 1.0, 1.0 + 0x1p-10, 0), (.float16, 1.0, 1.0 + 0x1p-10, 1),
            (.float64, 1.0, 1.0 + 0x1p-52, 1), (.float64, -0x1p-1074, 0x1p-1074, 2), (.integer, 3, 250, 247),
        ] as [(UnitsInLastPlace, Double, Double, UInt64)])
    func unitsInLastPlace(grid: UnitsInLastPlace, left: Double, right: Double, expected: UInt64) {
        #expect(grid.distance(left, right) == expected)
        #expect(grid.distance(right, left) == expected)
    }

    @Test func elementTypesMayDiffer() throws {
        let reference = EncodedTensor(try Tensor([3], [1, 1.00390625, -2]))
        let rounded = try Tensor([3], [1, 1.00390625, -2]).narrowed(to: .bf16)
        let metrics = Metrics(reference: reference, other: rounded)
        #expect(metrics.maxAbs == 0.00390625 && metrics.maxULP == 0, "one rounding to bfloat16 is no step in bfloat16")
    }

    @Test("every element type widens to its value", arguments: [DType.bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .f16, .bf16, .f32, .f64])
    func widening(dtype: DType) throws {
        let tensor = try EncodedTensor(dtype: dtype, shape: [2])
        let bytes = unsafe tensor.buffer.mutableBytes
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
        // The second element: 1 in every type.
        let one: [UInt8] =
            switch dtype {
            case .f16: [0, 0x3C]
            case .bf16: [0x80, 0x3F]
            case .f32: [0, 0, 0x80, 0x3F]
            case .f64: [0, 0, 0, 0, 0, 0, 0xF0, 0x3F]
            default: [1]
            }
        for (offset, byte) in one.enumerated() { unsafe bytes[dtype.byteCount + offset] = byte }
        #expect(tensor.doubles == [0, 1])
    }
}

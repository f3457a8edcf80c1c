import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Conversion

/// What linears were given: parts of it join to the whole in any order, and come back from a file as they were.
@Suite struct InputStatisticsTests {
    private static let digest = String(repeating: "a", count: 64)

    private static func gathered(_ prompts: [String], rows: Int, seed: UInt64, digest: String = digest) throws -> InputStatistics {
        let recorder = InputRecorder(["w": .init(inputs: 3, weightDigest: digest)], prompts: prompts)
        var random = SplitMix64(seed: seed)
        // In two portions, and of a weight that nobody asked for.
        for count in [rows / 3, rows - rows / 3] { recorder.record("w", try Tensor([count, 3], random.floats(count * 3))) }
        recorder.record("another", try Tensor([1, 2], [1, 2]))
        return recorder.statistics
    }

    @Test func powersAreSumsOfSquares() throws {
        let recorder = InputRecorder(["w": .init(inputs: 2, weightDigest: Self.digest)], prompts: ["p"])
        recorder.record("w", try Tensor([2, 2], [1, -2, 3, 0.5]))
        recorder.record("w", try Tensor([1, 1, 2], [2, 0]))
        let layer = try #require(recorder.statistics.layers["w"])
        #expect(layer.count == 3 && layer.squares == [14, 4.25] && layer.samples.count == 3)
        #expect(Set(layer.samples.map(\.values)) == [[0x3F80, 0xC000], [0x4040, 0x3F00], [0x4000, 0]])
        #expect(recorder.statistics.layers.count == 1)
    }

    @Test func partsJoinToTheWholeInAnyOrder() throws {
        let parts = try (0..<3).map { try Self.gathered(["prompt \($0)"], rows: 50, seed: UInt64($0)) }
        var joined: [InputStatistics] = []
        for order in [[0, 1, 2], [2, 0, 1]] {
            var all = InputStatistics()
            for index in order { try all.merge(parts[index]) }
            joined.append(all)
        }
        let layer = try #require(joined[0].layers["w"])
        #expect(layer.count == 150 && layer.samples.count == InputStatistics.mostSamples && joined[0].prompts == ["prompt 0", "prompt 1", "prompt 2"])
        #expect(layer.samples == joined[1].layers["w"]?.samples && joined[0].prompts == joined[1].prompts)
        for (left, right) in zip(layer.squares, joined[1].layers["w"]?.squares ?? []) { #expect(abs(left - right) < 1e-9 * left) }
        var (here, there) = (parts[0], parts[1])
        there.devices = ["a card"]
        try here.merge(there)
        #expect(here.devices == ["a card"])
        // The rows of all parts with the smallest numbers, whichever part saw them.
        let numbers = parts.flatMap { $0.layers["w"]?.samples.map(\.number) ?? [] }.sorted()
        #expect(layer.samples.map(\.number) == Array(numbers.prefix(InputStatistics.mostSamples)))
        #expect(Set(parts.map { $0.layers["w"]?.samples.first?.number }).count == 3)
    }

    @Test func whatDoesNotBelongTogetherIsNotJoined() throws {
        var all = try Self.gathered(["a"], rows: 9, seed: 1)
        func refusal(_ other: InputStatistics) -> String {
            do throws(ConversionError) { try all.merge(other) } catch { return "\(error)" }
            return "none"
        }
        #expect(refusal(all).contains("found some twice"))
        #expect(refusal(try Self.gathered(["b"], rows: 9, seed: 1, digest: String(repeating: "b", count: 64))).contains("those of two"))
        let other = InputRecorder(["v": .init(inputs: 3, weightDigest: Self.digest)], prompts: ["c"]).statistics
        #expect(refusal(other).contains("found v in some of them only"))
    }

    @Test func aFileGivesThemBack() throws {
        let folder = try TemporaryFolder()
        let statistics = try Self.gathered(["one prompt", "another"], rows: 70, seed: 5)
        try statistics.write(to: folder.file("a.cal"), replace: false)
        #expect(try InputStatistics(reading: folder.file("a.cal")) == statistics)
        var elsewhere = statistics
        elsewhere.devices = ["a card", "another"]
        try elsewhere.write(to: folder.file("a.cal"), replace: true)
        #expect(try InputStatistics(reading: folder.file("a.cal")) == elsewhere)
        #expect(LayerChoices.record(of: elsewhere)["devices"]?.array?.count == 2 && LayerChoices.record(of: statistics)["devices"] == nil)
        // What is no statistics of ours stays.
        try OutputFile.write([1, 2, 3], to: folder.file("b.cal"), kind: .anything, replace: true)
        #expect(throws: ConversionError.self) { try statistics.write(to: folder.file("b.cal"), replace: true) }
        #expect(try contents(folder.file("b.cal")) == [1, 2, 3])
    }

    /// One wrong thing in each file, and a word of what is said about it.
    @Test(arguments: [
        ("format", "another safetensors file"), ("version", "expected version 1"), ("digest", "expected a SHA-256"), ("nan", "expected sums of squares"),
        ("infinite", "expected finite values"), ("rows", "w.rows: expected at least 4"), ("missing", "w.samples: expected BF16 [4, 3], found none"),
        ("shape", "w.samples: expected BF16 [4, 3]"), ("surplus", "four tensors for each"), ("empty", "four tensors for each"),
    ])
    func wrongFilesAreRefused(_ wrong: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        var metadata = ["format": "sprintpack-calibration", "version": "1", "prompts": "p", "weight.w": Self.digest]
        var tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = [
            ("w.rows", .u64, [], [9, 0, 0, 0, 0, 0, 0, 0]), ("w.squares", .f64, [3], [UInt8](repeating: 0, count: 24)),
            ("w.numbers", .u64, [4], [UInt8](repeating: 1, count: 32)), ("w.samples", .bf16, [4, 3], [UInt8](repeating: 0x3F, count: 24)),
        ]
        switch wrong {
        case "format": metadata["format"] = "pt"
        case "version": metadata["version"] = "2"
        case "digest": metadata["weight.w"] = "abc"
        case "nan": tensors[1].bytes.replaceSubrange(8..<16, with: [0, 0, 0, 0, 0, 0, 0xF8, 0x7F])
        case "infinite": tensors[3].bytes.replaceSubrange(2..<4, with: [0x80, 0x7F])
        case "rows": tensors[0].bytes[0] = 3
        case "missing": tensors[3].name = "w.others"
        case "shape": (tensors[3].shape, tensors[3].bytes) = ([4, 4], [UInt8](repeating: 0x3F, count: 32))
        case "surplus": tensors.append(("odd", .u8, [1], [0]))
        default: tensors = [("odd", .u8, [1], [0])]
        }
        let writer = try SafetensorsWriter(
            path: folder.file("a.cal"), replace: false, tensors: tensors.map { ($0.name, $0.dtype, $0.shape) },
            metadata: metadata.map { (key: $0.key, value: $0.value) })
        for tensor in tensors { try writer.append(tensor.bytes) }
        try writer.finish()
        do throws(ConversionError) {
            _ = try InputStatistics(reading: folder.file("a.cal"))
            Issue.record("was read")
        } catch { #expect("\(error)".contains(words), "\(error)") }
    }
}

import Files
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import PackedFiles

/// Seeded mutations of good files.
@Suite struct FuzzTests {
    private static let cases = 2000

    @Test("Whatever opens and verifies holds the original values; nothing crashes")
    func mutations() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("fuzz.sprint")
        let tensors = try Samples.mixed()
        let base = try HostileFiles.base()
        let directory = try base.directory()
        let paths = Self.leaves(of: directory)
        var generator = SplitMix64(seed: 0x5350_5249)
        var accepted = 0
        var refused: [PackedFileFailure: Int] = [:]
        for index in 0..<Self.cases {
            let mutant =
                switch index % 8 {
                case 0: Self.flipped(base.bytes, using: &generator)
                case 1: Array(base.bytes[..<Int.random(in: 0..<base.bytes.count, using: &generator)])
                case 2: Self.withHeaderNumber(base, using: &generator)
                case 3: try Self.withContent(base, using: &generator)
                default: try Self.withDirectory(base, directory, paths, using: &generator)
                }
            try write(mutant, to: path)
            do {
                let file = try PackedFile.open(path)
                guard let finding = file.verifyIntegrity().first else {
                    accepted += 1
                    Self.check(file, tensors, "case \(index)")
                    continue
                }
                refused[try #require(finding.error.failure), default: 0] += 1
            } catch let error as PackedFileError { refused[try #require(error.failure, "case \(index): \(error)"), default: 0] += 1 }
        }
        // The mutations reach far behind the checksums, and some change only what no reader depends on.
        #expect(accepted > 0)
        #expect(refused.count > 20, "\(refused)")
    }

    /// A tensor that claims scheme and shape of the original has its bits.
    private static func check(_ file: PackedFile, _ tensors: [SampleTensor], _ label: String) {
        for entry in file.directory.tensors {
            guard let original = tensors.first(where: { $0.description.scheme == entry.scheme && $0.description.shape == entry.shape }),
                let planes = try? file.planes(of: entry), let decoded = try? entry.scheme.decode(planes, shape: entry.shape),
                let expected = try? original.description.scheme.decode(original.planes, shape: original.description.shape)
            else {
                Issue.record("\(label): \(entry.name) is no tensor of the original")
                continue
            }
            #expect(bits(decoded) == bits(expected), "\(label): \(entry.name)")
        }
    }

    private static func flipped(_ bytes: [UInt8], using generator: inout SplitMix64) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0 ... .max, using: &generator)
        }
        return bytes
    }

    private static func withHeaderNumber(_ base: Surgeon, using generator: inout SplitMix64) -> [UInt8] {
        let fields = [
            (8, 2), (10, 2), (12, 4), (16, 4), (20, 4), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8), (64, 4), (68, 4), (72, 8), (80, 8), (112, 8),
        ]
        let (offset, count) = fields.randomElement(using: &generator) ?? (8, 2)
        let value = interesting(Int64(truncatingIfNeeded: base.number(at: offset, count: count)), using: &generator)
        return base.header(UInt64(bitPattern: value), at: offset, count: count)
    }

    /// A changed byte of a plane under a frame checksum that is right: what is left are the codec and the plane's hash.
    private static func withContent(_ base: Surgeon, using generator: inout SplitMix64) throws -> [UInt8] {
        let places = [(0, 0, 8), (0, 1, 8), (1, 0, 4), (2, 0, 12), (3, 0, 6), (4, 0, 300)]
        let (tensor, plane, length) = places.randomElement(using: &generator) ?? (0, 0, 8)
        let position = Int.random(in: 0..<length, using: &generator)
        return try base.content(tensor: tensor, plane: plane, at: position, [UInt8.random(in: 0 ... .max, using: &generator)], rehash: false)
    }

    /// A changed, removed or added member of the directory, with all checksums right.
    private static func withDirectory(_ base: Surgeon, _ directory: JSONValue, _ paths: [String], using generator: inout SplitMix64) throws -> [UInt8] {
        guard let path = paths.randomElement(using: &generator), let old = directory.value(at: path) else { return base.bytes }
        let new: JSONValue? =
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: nil
            case 1: [.null, true, [], [:], "", -1, .number(0.5), "../x", [[[[]]]]].randomElement(using: &generator)
            // A value from elsewhere in the same directory: an offset of another plane, a scheme of another tensor.
            case 2: paths.randomElement(using: &generator).flatMap { directory.value(at: $0) }
            default:
                switch old {
                case .integer(let value): .integer(interesting(value, using: &generator))
                case .string(let value): .string(respelled(value, using: &generator))
                default: .integer(interesting(1, using: &generator))
                }
            }
        return try base.member(path, new)
    }

    private static func interesting(_ value: Int64, using generator: inout SplitMix64) -> Int64 {
        let shift = Int64(1) << Int64.random(in: 0..<63, using: &generator)
        return [0, 1, -1, .max, .min, value &+ 1, value &- 1, value &+ 64, value &- 64, value &* 2, value / 2, value ^ shift, shift, -shift]
            .randomElement(using: &generator) ?? 0
    }

    private static func respelled(_ text: String, using generator: inout SplitMix64) -> String {
        var bytes = Array(text.utf8)
        if bytes.isEmpty || Int.random(in: 0..<4, using: &generator) == 0 { return text + text + "x" }
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0x20..<0x7F, using: &generator)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The paths of all members, inner and outer.
    private static func leaves(of value: JSONValue, _ path: String = "") -> [String] {
        let own = path.isEmpty ? [] : [path]
        func step(_ name: String) -> String { path.isEmpty ? name : "\(path)/\(name)" }
        switch value {
        case .object(let object): return own + object.members.filter { !$0.key.contains("/") }.flatMap { leaves(of: $0.value, step($0.key)) }
        case .array(let array): return own + array.enumerated().flatMap { leaves(of: $0.element, step("\($0.offset)")) }
        default: return own
        }
    }
}

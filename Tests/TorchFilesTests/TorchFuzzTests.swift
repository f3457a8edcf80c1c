import Files
import Tensors
import TestKit
import Testing

@testable import TorchFiles

/// Damaged archives and pickles: each case ends in a file whose every tensor can be read, or in an error that names the file.
struct TorchFuzzTests {
    private static let genuine = ["views", "training", "no-checksums"].map { Fixtures.path("torch/\($0).pth") }

    @Test("mutated files never crash the reader, and what it accepts can be read") func files() throws {
        let fixture = try TorchFixture()
        var random = SplitMix64(seed: 77)
        let count = 1500
        let originals = try Self.genuine.map { try InputFile(path: $0).contents(limit: 1 << 20) }
        var (accepted, seen) = (0, Set<String>())
        for number in 0..<count {
            var bytes: [UInt8]
            if number % 2 == 0 {
                // Anything, anywhere in a genuine file.
                bytes = Fuzzing.damage(originals[Int.random(in: 0..<originals.count, using: &random)], using: &random)
            } else {
                var zip = TorchFixture.archive(Self.pickle(using: &random))
                for _ in 0..<Int.random(in: 0...2, using: &random) { Self.mutate(&zip, using: &random) }
                bytes = zip.bytes
            }
            let path = try fixture.folder.put(bytes, "model.pth")
            do throws(TorchFileError) {
                let file = try TorchFile.open(path)
                accepted += 1
                try readAll(file)
            } catch {
                seen.insert(String("\(Mirror(reflecting: error).children.first?.label ?? "")"))
                #expect("\(error)".contains(path), "case \(number)")
            }
        }
        #expect(accepted > count / 20, "\(accepted) of \(count)")
        #expect(
            seen.isSuperset(of: [
                "archive", "unsupportedEntry", "missingEntry", "checksum", "truncatedPickle", "opcode", "global", "operand", "tensor", "notAStateDict",
            ]), "only \(seen.sorted())")
    }

    @Test("pickles of random instructions") func pickles() throws {
        var random = SplitMix64(seed: 78)
        for _ in 0..<3000 {
            let bytes = Self.pickle(using: &random)
            do throws(TorchFileError) {
                let (graph, end) = try PickleMachine.run(bytes, path: "p")
                #expect(end <= bytes.count)
                #expect(graph.containers.count <= bytes.count)
            } catch { #expect("\(error)".hasPrefix("p: ")) }
        }
    }

    /// Every tensor of a file that opened, as far as it is not larger than the file by repeating itself.
    private func readAll(_ file: TorchFile) throws(TorchFileError) {
        for tensor in file.containers.flatMap(\.tensors) where tensor.shape.elementCount <= 1 << 16 {
            let size = tensor.dtype.byteCount
            var bytes = [UInt8](repeating: 0, count: tensor.shape.elementCount * size)
            var failure: TorchFileError?
            unsafe bytes.withUnsafeMutableBytes { buffer in
                do throws(TorchFileError) { unsafe try file.read(tensor, range: 0..<UInt64(buffer.count), into: buffer) } catch { failure = error }
            }
            if let failure { throw failure }
        }
    }

    /// A pickle of a state_dict with one thing exchanged, or of instructions at random.
    private static func pickle(using random: inout SplitMix64) -> [UInt8] {
        if Int.random(in: 0..<3, using: &random) == 0 {
            let honest = PickleText.weights()
            return Int.random(in: 0..<2, using: &random) == 0 ? honest : Fuzzing.damage(honest, using: &random)
        }
        var pickle = PickleText()
        pickle.raw("}")
        pickle.put(0)
        for _ in 0..<Int.random(in: 0...12, using: &random) {
            switch Int.random(in: 0..<12, using: &random) {
            case 0:
                pickle.tensor(
                    "0", count: 6, offset: Int.random(in: -1...3, using: &random), sizes: [2, 3], strides: [1, Int.random(in: -1...2, using: &random)])
            case 1: pickle.text(["weight", "storage", "", "0"].randomElement(using: &random) ?? "")
            case 2: pickle.integer([0, 1, -1, 300, 1 << 40, .max, .min].randomElement(using: &random) ?? 0)
            case 3:
                let (module, name) = [("collections", "OrderedDict"), ("torch", "Size"), ("os", "system"), ("torch._utils", "_rebuild_parameter")]
                    .randomElement(using: &random)!
                pickle.global(module, name)
            case 4: pickle.mark()
            case 5: pickle.raw([[0x74], [0x52], [0x62], [0x73], [0x75], [0x61], [0x65], [0x51], [0x85], [0x86], [0x87]].randomElement(using: &random) ?? [])
            case 6: pickle.get(Int.random(in: 0...2, using: &random))
            case 7: pickle.put(Int.random(in: 0...9, using: &random))
            case 8: pickle.storage("0", ["FloatStorage", "UntypedStorage"].randomElement(using: &random) ?? "", count: Int.random(in: 5...7, using: &random))
            case 9: pickle.raw([UInt8.random(in: 0 ... .max, using: &random)])
            default:
                pickle.text("weight")
                pickle.tensor("0", count: 6, sizes: [3, 2], strides: [1, 3])
                pickle.raw("s")
            }
        }
        return pickle.finished
    }

    private static func mutate(_ zip: inout RawZip, using random: inout SplitMix64) {
        let index = Int.random(in: 0..<zip.entries.count, using: &random)
        let numbers: [UInt32] = [0, 1, 23, 25, 0xFFFF_FFFF, 0xFFFF_FFFE, 0x8000_0000]
        let number = numbers.randomElement(using: &random) ?? 0
        switch Int.random(in: 0..<16, using: &random) {
        case 0: zip.entries[index].name = ["model/data.pkl", "", "model/data/0", "../x", "model/byteorder"].randomElement(using: &random) ?? ""
        case 1: zip.entries[index].localName = "model/other"
        case 2: zip.entries[index].flags ^= 1 << UInt16.random(in: 0..<16, using: &random)
        case 3: zip.entries[index].method = [8, 0, 99].randomElement(using: &random) ?? 0
        case 4: zip.entries[index].checksum = number
        case 5: (zip.entries[index].byteCount, zip.entries[index].storedByteCount) = (number, number)
        case 6: zip.entries[index].offset = number
        case 7: zip.entries[index].localByteCount = number
        case 8: zip.entries[index].centralExtra = [1, 0, 16, 0] + RawZip.little(UInt64(number)) + RawZip.little(UInt64.max)
        case 9: zip.entries[index].localExtra = [UInt8](repeating: 1, count: Int.random(in: 0...9, using: &random))
        case 10: zip.entries.remove(at: index); if zip.entries.isEmpty { zip.entries.append(.init("x", [])) }
        case 11: zip.entries.append(zip.entries[index])
        case 12: zip.declaredEntries = Int.random(in: 0...70_000, using: &random)
        case 13: zip.directoryOffsetError = Int64.random(in: -3...3, using: &random)
        case 14: zip.tail = [0]
        default: zip.entries[index].bytes = Fuzzing.damage(zip.entries[index].bytes, using: &random)
        }
    }
}

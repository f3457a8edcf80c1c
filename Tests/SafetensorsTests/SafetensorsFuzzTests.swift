import Files
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// Damaged headers, by structure rather than by chance: each case ends in a file that keeps every promise, or in an error.
struct SafetensorsFuzzTests {
    @Test("mutated files never crash the reader, and what it accepts is sound") func mutations() throws {
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 2024)
        let count = 2000
        var accepted = 0
        var seen: Set<String> = []
        for number in 0..<count {
            var file = MutableFile(using: &random)
            for _ in 0..<Int.random(in: 0...2, using: &random) { file.mutate(using: &random) }
            var bytes = file.bytes
            if Int.random(in: 0..<4, using: &random) == 0 { bytes = Fuzzing.damage(bytes, using: &random) }
            let path = try folder.write(bytes)
            do {
                try checkSound(try SafetensorsFile.open(path), bytes)
                accepted += 1
            } catch let error as SafetensorsError {
                seen.insert(String("\(Mirror(reflecting: error).children.first?.label ?? "")"))
                #expect("\(error)".contains(path), "case \(number)")
            }
        }
        // The mutations must reach the checks, not only the first of them.
        #expect(accepted > count / 20)
        #expect(
            seen.isSuperset(of: [
                "header", "headerBeyondFile", "member", "unsupportedType", "shapeTooLarge", "reversedOffsets", "sizeMismatch", "beyondFile", "overlap", "hole",
                "trailingBytes",
                "metadata", "rank", "name", "notAnObject",
            ]), "only \(seen.sorted())")
    }

    /// What Formats/checkpoint.md promises of a file that opens.
    private func checkSound(_ file: SafetensorsFile, _ bytes: [UInt8]) throws {
        var end = file.header.dataOffset
        var names: Set<ExactString> = []
        for entry in file.header.entries {
            #expect(names.insert(ExactString(entry.name)).inserted)
            #expect(entry.offset == end)
            #expect(entry.byteCount == UInt64(entry.shape.elementCount * entry.dtype.byteCount))
            end += entry.byteCount
            let tensor = try file.read(entry.name)
            #expect(tensor.contents.elementsEqual(bytes[Int(entry.offset)..<Int(end)]))
        }
        #expect(end == UInt64(bytes.count))
    }
}

/// A valid file in parts that can be changed one by one.
private struct MutableFile {
    var members: [(key: String, value: JSONValue)] = []
    var dataByteCount = 0
    var lengthError: Int64 = 0
    var padding = 0

    init(using random: inout SplitMix64) {
        if Bool.random(using: &random) { members.append(("__metadata__", ["format": "pt"])) }
        for number in 0..<Int.random(in: 0...5, using: &random) {
            let dtype = DType.allCases.randomElement(using: &random) ?? .f32
            let extents = (0..<Int.random(in: 0...3, using: &random)).map { _ in Int.random(in: 0...4, using: &random) }
            let end = dataByteCount + extents.reduce(dtype.byteCount, *)
            let shape = JSONValue.array(extents.map { JSONValue($0) })
            let offsets: JSONValue = [JSONValue(dataByteCount), JSONValue(end)]
            members.append(("t\(number)", ["dtype": .string(dtype.rawValue), "shape": shape, "data_offsets": offsets]))
            dataByteCount = end
        }
        members.shuffle(using: &random)
        padding = Int.random(in: 0...8, using: &random)
    }

    var bytes: [UInt8] {
        // By hand: keys may come twice here, which an object would refuse.
        let text =
            "{" + members.map { "\(JSONValue.string($0.key).text):\($0.value.text)" }.joined(separator: ",") + "}" + String(repeating: " ", count: padding)
        let length = UInt64(bitPattern: Int64(text.utf8.count) &+ lengthError)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + Array(text.utf8) + (0..<dataByteCount).map { UInt8(truncatingIfNeeded: $0) }
    }

    mutating func mutate(using random: inout SplitMix64) {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: lengthError = [-1, 1, 8, -8, 1 << 20, .max, .min].randomElement(using: &random) ?? 1
        case 1: dataByteCount = max(0, dataByteCount + Int.random(in: -3...3, using: &random))
        case 2: if let member = members.randomElement(using: &random) { members.append(member) }
        case 3: if !members.isEmpty { members.remove(at: Int.random(in: 0..<members.count, using: &random)) }
        case 4:
            guard !members.isEmpty else { return }
            let names = ["", String(repeating: "n", count: 600), "__metadata__", "\u{0}", "t0", "\u{E9}"]
            members[Int.random(in: 0..<members.count, using: &random)].key = names.randomElement(using: &random) ?? ""
        case 5:
            // A tensor moved as a whole: nothing is wrong with it but its place.
            guard let position = members.indices.randomElement(using: &random), case .object(var entry) = members[position].value,
                let offsets = entry["data_offsets"]?.array
            else { return }
            let distance = Int64.random(in: -4...4, using: &random)
            entry["data_offsets"] = .array(offsets.map { $0.integer.map { .integer($0 &+ distance) } ?? $0 })
            members[position].value = .object(entry)
        default:
            guard !members.isEmpty else { return }
            let position = Int.random(in: 0..<members.count, using: &random)
            members[position].value = Self.mutated(members[position].value, using: &random)
        }
    }

    /// Another value in the place of one that lies somewhere inside `value`.
    private static func mutated(_ value: JSONValue, using random: inout SplitMix64) -> JSONValue {
        switch value {
        case .object(var object) where object.count > 0 && Int.random(in: 0..<8, using: &random) > 0:
            let key = object.keys.randomElement(using: &random) ?? ""
            let old = object[key] ?? .null
            if Int.random(in: 0..<10, using: &random) == 0 { object[key] = nil } else { object[key] = mutated(old, using: &random) }
            if Int.random(in: 0..<20, using: &random) == 0 { object["extra"] = 1 }
            return .object(object)
        case .array(var elements) where !elements.isEmpty && Int.random(in: 0..<8, using: &random) > 0:
            let position = Int.random(in: 0..<elements.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: elements.remove(at: position)
            case 1: elements.append(elements[position])
            case 2: elements.swapAt(0, position)
            case 3: elements += [JSONValue](repeating: 1, count: 8)
            case 4: elements[position] = .integer(1 << 62)
            default: elements[position] = mutated(elements[position], using: &random)
            }
            return .array(elements)
        case .integer(let number) where Bool.random(using: &random):
            return .integer(number &+ Int64.random(in: -2...2, using: &random))
        case .string where Bool.random(using: &random):
            return .string((DType.allCases.map(\.rawValue) + ["F4", "f32", "", "X"]).randomElement(using: &random) ?? "")
        default:
            let values: [JSONValue] = [
                .null, true, 0, 1, -1, .integer(.max), .integer(.min), .integer(1 << 32), .integer(1 << 62), .number(1.5), .number(1e300), "U8", "", [], [:],
                [[1]], [0, 0],
            ]
            return values.randomElement(using: &random) ?? .null
        }
    }
}

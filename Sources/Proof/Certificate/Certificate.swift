package import Conversion
import Inference
import PackedFiles
import Parity
import StrictJSON
import Tensors

/// What a conversion proved of a packed file, in attachments of it (Formats/certificate.md): probe inputs, what the checkpoint's layers made of
/// them, how far an honest file may be from that, and the verdict.
package struct Certificate {
    /// The content hash of the file that it was made for.
    let contentHash: String
    /// The program that made it.
    let tool: String
    let inputs: CertificateInputs
    /// What was fed to the model and what the checkpoint's layers made of it.
    let values: CertificateValues
    /// The steps, in the order of the data.
    let steps: [Step]
    /// The claims that held, or did not, when the file was made.
    let rungs: [Rung]

    /// One step of the model.
    struct Step: Equatable {
        let name: String
        /// Relative L2 from the checkpoint's output that honest rounding of the weights explains.
        let honest: Double
        /// Relative L2 from the file's own output at conversion that float32 rounding on another machine explains.
        let repeated: Double
        /// Of the file's own output at conversion.
        let fingerprint: [Float]
    }

    static let folder = "certificate/"
    static let indexName = folder + "index.json"
    static let fingerprintsName = folder + "fingerprints"
    static func name(of value: String) -> String { "\(folder)values/\(value)" }

    /// How many values there are: what the closing line of a conversion says.
    package var probeCount: Int { steps.count }
    package var passed: Bool { rungs.allSatisfy(\.passed) }

    // MARK: - Writing

    /// The attachments that hold it.
    package var attachments: [Converter.Attachment] {
        var list: [Converter.Attachment] = [(Self.indexName, json.canonicalText), (Self.fingerprintsName, Self.bytes(steps.flatMap(\.fingerprint)))]
        for name in values.names { if let value = values[name] { list.append((Self.name(of: name), Self.bytes(value.elements))) } }
        return list
    }

    private var json: JSONValue {
        [
            "contentHash": .string(contentHash), "inputs": inputs.json,
            "probes": .array(steps.map { ["honest": .number($0.honest), "name": .string($0.name), "repeated": .number($0.repeated)] }),
            "rungs": .array(rungs.map(\.json)), "tool": .string(tool),
            "values": .array(
                values.names.map { name in
                    ["name": .string(name), "shape": JSONValue(values[name]?.shape.extents ?? [])]
                }),
            "version": 1,
        ]
    }

    private static func bytes(_ numbers: [Float]) -> [UInt8] {
        numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number.bitPattern >> (8 * $0)) } }
    }
}

// MARK: - Reading

extension Certificate {
    /// Why a certificate cannot be used, and which attachment is to blame.
    struct Damaged: Error, CustomStringConvertible {
        let name: String
        let reason: String
        var description: String { "\(name): \(reason)" }
    }

    /// The certificate of a file; nil where it has none.
    init?(_ file: PackedFile) throws {
        guard file.attachments.contains(where: { $0.name.hasPrefix(Self.folder) }) else { return nil }
        let text = try Self.attachment(Self.indexName, file, atMost: 1 << 24)
        var shapes: [(name: String, shape: Shape)] = []
        var limits: [(name: String, honest: Double, repeated: Double)] = []
        do throws(JSONError) {
            let fields = try JSONFields(try JSONValue.parse(text), subject: Self.indexName)
            _ = try fields.int("version", in: 1...1)
            contentHash = try fields.string("contentHash")
            tool = try fields.string("tool")
            inputs = try CertificateInputs(try fields.fields("inputs"))
            rungs = try Self.objects("rungs", fields).map { rung throws(JSONError) in
                Rung(
                    id: try rung.string("id"), claim: try rung.string("claim"), measure: try rung.string("measure"), gate: try rung.string("gate"),
                    margin: try rung.string("margin"), passed: try rung.bool("passed"), reason: try rung.string("reason"))
            }
            for value in try Self.objects("values", fields) { shapes.append((try value.string("name"), try Self.shape(value))) }
            for probe in try Self.objects("probes", fields) {
                limits.append((try probe.string("name"), try probe.double("honest"), try probe.double("repeated")))
            }
        } catch { throw Damaged(name: Self.indexName, reason: "\(error)") }
        let values = CertificateValues()
        for (name, shape) in shapes {
            guard values[name] == nil else { throw Damaged(name: Self.indexName, reason: "the value \(name) stands there twice") }
            values.add(name, try Tensor(shape, try Self.numbers(Self.name(of: name), file, count: shape.elementCount)))
        }
        self.values = values
        let sums = try Self.numbers(Self.fingerprintsName, file, count: limits.count * Fingerprint.length)
        steps = limits.enumerated().map { index, probe in
            Step(
                name: probe.name, honest: probe.honest, repeated: probe.repeated,
                fingerprint: Array(sums[index * Fingerprint.length..<(index + 1) * Fingerprint.length]))
        }
    }

    private static func objects(_ key: String, _ fields: JSONFields) throws(JSONError) -> [JSONFields] {
        var result: [JSONFields] = []
        for value in try fields.array(key) { result.append(try JSONFields(value, subject: "\(fields.subject): \(key)")) }
        return result
    }

    private static func shape(_ value: JSONFields) throws(JSONError) -> Shape {
        let extents = try value.array("shape").compactMap { $0.integer.flatMap { Int(exactly: $0) } }
        guard (1...3).contains(extents.count), extents.allSatisfy({ (1...1 << 20).contains($0) }) else {
            throw .field(subject: "\(value.subject): shape", expected: "1 to 3 extents of 1 to \(1 << 20)", found: "\(extents)")
        }
        return Shape(extents)
    }

    /// Little-endian float32 numbers, exactly so many.
    private static func numbers(_ name: String, _ file: PackedFile, count: Int) throws -> [Float] {
        let bytes = try attachment(name, file, atMost: 4 * UInt64(count))
        guard bytes.count == 4 * count else { throw Damaged(name: name, reason: "expected \(count) float32 numbers, found \(bytes.count) bytes") }
        return (0..<count).map { index in
            Float(bitPattern: (0..<4).reduce(0 as UInt32) { $0 | UInt32(bytes[4 * index + $1]) << (8 * $1) })
        }
    }

    private static func attachment(_ name: String, _ file: PackedFile, atMost limit: UInt64) throws -> [UInt8] {
        if let entry = file.attachments.first(where: { $0.name == name }), entry.section.contentByteCount > limit {
            throw Damaged(name: name, reason: "expected at most \(limit) bytes, found \(entry.section.contentByteCount)")
        }
        do throws(PackedFileError) { return try file.attachment(name) } catch {
            if case .machine(let error) = error { throw error }
            throw Damaged(name: name, reason: "\(error)")
        }
    }
}

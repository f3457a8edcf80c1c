package import PackedFiles
package import StrictJSON

extension Quality {
    /// The attachment that holds the record (Formats/quality.md).
    package static let attachmentName = "quality/verdict.json"
    /// Figures in dB lie within plus and minus this, or are infinite.
    static let mostDecibels = 400.0
    private static let mostEntries = 1 << 14
    private static let mostLayers = 3
    /// Flow times: the first of a schedule lies a little above 1.
    private static let times = 0...1.001

    // MARK: - Writing

    package var attachment: (name: String, bytes: [UInt8]) { (Self.attachmentName, json.canonicalText) }

    /// Infinite figures, those of what does not differ, are null.
    var json: JSONValue {
        [
            "contentHash": .string(contentHash), "features": .array(features.map(Self.decibels)),
            "layers": .array(
                layers.map { ["gain": .number($0.gain), "judgedBy": .string($0.judgedBy.rawValue), "name": .string($0.name)] }),
            "pictures": .array(
                pictures.map {
                    [
                        "draw": JSONValue($0.draw), "psnr": $0.psnr.json,
                        "ssim": $0.ssim.map { ["file": .number($0.file), "sixteen": .number($0.sixteen)] } ?? .null, "steps": JSONValue($0.steps),
                    ]
                }),
            "prompts": JSONValue(prompts), "side": JSONValue(side), "tool": .string(tool),
            "velocities": .array(velocities.map { ["draw": JSONValue($0.draw), "sqnr": $0.sqnr.json, "time": .number($0.time)] }), "version": 1,
            "word": .string(word.rawValue),
        ]
    }

    static func decibels(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }

    // MARK: - Reading

    /// A record that cannot be used.
    package struct Damaged: Error, CustomStringConvertible {
        package let reason: String
        package var description: String { "\(Quality.attachmentName): \(reason)" }
    }

    /// The record of a file; nil where it has none.
    /// - Throws: where it is not of this file, not of the form that Formats/quality.md describes, or says what its figures do not.
    package init?(_ file: PackedFile) throws(Damaged) {
        guard let entry = file.attachments.first(where: { $0.name == Self.attachmentName }) else { return nil }
        guard entry.section.contentByteCount <= 1 << 22 else { throw Damaged(reason: "expected at most 4 MiB, found \(entry.section.contentByteCount) bytes") }
        let bytes: [UInt8]
        do throws(PackedFileError) { bytes = try file.attachment(Self.attachmentName) } catch { throw Damaged(reason: "\(error)") }
        do throws(JSONError) { self = try Quality(JSONValue.parse(bytes)) } catch { throw Damaged(reason: "\(error)") }
        guard contentHash == file.contentHash else {
            throw Damaged(reason: "it was made for another content: expected \(file.contentHash), found \(contentHash)")
        }
        for layer in layers where !file.directory.tensors.contains(where: { $0.name == layer.name }) {
            throw Damaged(reason: "layers: expected tensors of the file, found another name")
        }
    }

    package init(_ json: JSONValue) throws(JSONError) {
        let fields = try JSONFields(json, subject: Self.attachmentName)
        _ = try fields.int("version", in: 1...1)
        contentHash = try fields.string("contentHash")
        tool = try fields.string("tool")
        prompts = try fields.int("prompts", in: 1...Self.mostEntries)
        side = try fields.int("side", in: 1...1 << 16)
        let draws = 0...prompts - 1
        velocities = try fields.list("velocities", atMost: Self.mostEntries).map { entry throws(JSONError) in
            Velocity(draw: try entry.int("draw", in: draws), time: try entry.number("time", in: Self.times), sqnr: try Pair(decibels: try entry.fields("sqnr")))
        }
        guard !velocities.isEmpty else { throw .field(subject: "\(Self.attachmentName): velocities", expected: "at least one", found: "none") }
        pictures = try fields.list("pictures", atMost: Self.mostEntries).map { entry throws(JSONError) in
            let ssim = entry.value("ssim") == nil ? nil : try entry.fields("ssim")
            return PictureFigures(
                draw: try entry.int("draw", in: draws), steps: try entry.int("steps", in: 1...1024), psnr: try Pair(decibels: try entry.fields("psnr")),
                ssim: try ssim.map { ssim throws(JSONError) in
                    Pair(file: try ssim.number("file", in: -1...1), sixteen: try ssim.number("sixteen", in: -1...1))
                })
        }
        let limit = Self.mostDecibels
        features = try fields.array("features").map { value throws(JSONError) in
            guard !value.isNull else { return .infinity }
            guard let number = value.double, abs(number) <= limit else {
                throw .field(subject: "\(Self.attachmentName): features", expected: "a number of dB or null", found: value.kind)
            }
            return number
        }
        guard features.isEmpty || features.count == prompts else {
            throw .field(subject: "\(Self.attachmentName): features", expected: "none, or one of each prompt", found: "\(features.count)")
        }
        layers = try fields.list("layers", atMost: Self.mostLayers).map { entry throws(JSONError) in
            let judge = try entry.string("judgedBy")
            guard let judgedBy = Judge(rawValue: judge) else {
                throw .field(subject: "\(entry.subject): judgedBy", expected: "velocity or picture", found: "another word")
            }
            return Layer(name: try entry.string("name"), gain: try entry.number("gain", in: -limit...limit), judgedBy: judgedBy)
        }
        let stated = try fields.string("word")
        guard stated == word.rawValue else {
            throw .field(subject: "\(Self.attachmentName): word", expected: "\"\(word.rawValue)\", which its figures say", found: "another")
        }
    }
}

extension Quality.Pair {
    fileprivate var json: JSONValue { ["file": Quality.decibels(file), "sixteen": Quality.decibels(sixteen)] }

    fileprivate init(decibels fields: JSONFields) throws(JSONError) {
        func figure(_ key: String) throws(JSONError) -> Double {
            guard fields.object[key]?.isNull ?? false else { return try fields.number(key, in: -Quality.mostDecibels...Quality.mostDecibels) }
            return .infinity
        }
        self.init(file: try figure("file"), sixteen: try figure("sixteen"))
    }
}

extension JSONFields {
    fileprivate func number(_ key: String, in range: ClosedRange<Double>) throws(JSONError) -> Double {
        let value = try double(key)
        guard range.contains(value) else {
            throw .field(subject: "\(subject): \(key)", expected: "a number from \(range.lowerBound) to \(range.upperBound)", found: "\(value)")
        }
        return value
    }

    fileprivate func list(_ key: String, atMost most: Int) throws(JSONError) -> [JSONFields] {
        let values = try array(key)
        guard values.count <= most else { throw .field(subject: "\(subject): \(key)", expected: "at most \(most)", found: "\(values.count)") }
        return try values.map { value throws(JSONError) in try JSONFields(value, subject: "\(subject): \(key)") }
    }
}

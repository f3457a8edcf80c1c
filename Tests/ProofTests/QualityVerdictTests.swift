import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Proof
@testable import Quality

/// What is measured of a file, against whole runs of the engine, and what a verification makes of it.
@Suite struct QualityVerdictTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static let measuredPreset = Once { (preset: Preset) in
        try measured(ProofFixture.file(preset), Checkpoint.open(ProofFixture.checkpointPath))
    }

    private static func measured(_ file: PackedFile, _ checkpoint: Checkpoint) throws -> Quality {
        var steps: [[Int]] = []
        let quality = try QualityMeasurement.run(file, checkpoint, on: .best, tool: "tests") { steps.append([$0, $1]) }
        #expect(steps.map { $0[0] } == Array(1...steps.count) && steps.last?[0] == steps.last?[1], "every pass is told, and how many there will be")
        return quality
    }

    @Test("pictures and what 16 bits cost are those of whole runs; int8 is good")
    func agreesWithTheEngine() throws {
        let checkpoint = try Checkpoint.open(ProofFixture.checkpointPath)
        let file = try ProofFixture.file(.int8)
        let quality = try Self.measuredPreset.get(.int8)
        #expect(quality.word == .good && quality.layers == [])
        #expect(quality.velocities.count == 20 && quality.pictures.count == 12 && quality.features.count == 4)
        let weights = try CheckpointWeights(checkpoint)
        func pictures(_ weights: any WeightSource, _ compute: Compute) throws -> [Picture] {
            let engine = Engine(try SanaSprintPipeline(weights: weights, on: .best, compute: compute))
            return try QualityMeasurement.prompts.enumerated().map { draw, prompt in
                var request = GenerationRequest(prompt: prompt, noise: .seed(UInt64(4000 + draw)))
                request.timesteps = .steps(2)
                return try engine.run(Job(request))
            }
        }
        let reference = try pictures(weights, .float32)
        func psnr(_ others: [Picture]) throws -> Double {
            try zip(reference, others).reduce(0) { try $0 + #require(PictureMetrics(reference: $1.0, other: $1.1).psnr) } / Double(others.count)
        }
        let figures = quality.pictures.filter { $0.steps == 2 }
        #expect(figures.map(\.draw) == Array(reference.indices))
        let (sixteen, own) = try (psnr(pictures(weights, .bfloat16)), psnr(pictures(PackedWeights(file), .float32)))
        func mean(_ figure: (Quality.PictureFigures) -> Double) -> Double { figures.reduce(0) { $0 + figure($1) } / Double(figures.count) }
        // Many rows in one product add in another order, which may turn a rounding: one picture can be off by more.
        let measured = (sixteen: mean(\.psnr.sixteen), own: mean(\.psnr.file))
        #expect(abs(measured.sixteen - sixteen) < 1.5 && abs(measured.own - own) < 1.5, "\(measured) \(sixteen) \(own)")
    }

    @Test("a file that rounds nothing differs in nothing, and need not be measured")
    func exact() throws {
        let file = try ProofFixture.file(.bf16)
        let quality = try Self.measuredPreset.get(.bf16)
        #expect(quality.velocity.file.worst > 100 && quality.word == .asGoodAs16Bit && quality.velocity.sixteen.median < 70)
        #expect(try QualityMeasurement.isExact(file.directory) && !QualityMeasurement.isExact(ProofFixture.file(.int8).directory))
        #expect(try !QualityMeasurement.isExact(ProofFixture.file(.fp16).directory))
        let verification = try ProofFixture.verificationAlone(.bf16)
        #expect(verification.isExact && verification.report(environment: [], command: "").json["quality"]?["exact"] == true)
    }

    @Test("models of other shapes, of fewer parts and of a frozen schedule are measured too")
    func others() throws {
        let cases: [(name: String, options: ConversionOptions, velocities: Int, pictures: Int)] = [
            ("mini", ConversionOptions(.int8), 20, 12),
            ("tiny-sprint", ConversionOptions(.int8, components: .listed([.transformer])), 20, 0),
            ("tiny-sprint", ConversionOptions(.int8, frozenSchedule: try FrozenSchedule(steps: ["2", "paper4"], guidance: [3.5])), 24, 8),
        ]
        for (index, item) in cases.enumerated() {
            let checkpoint = try Checkpoint.open(Fixtures.path(item.name))
            let path = folder.file("\(index).sprint")
            try ProofFixture.convert(ConversionPlan(checkpoint, item.options), to: path)
            let quality = try Self.measured(PackedFile.open(path), checkpoint)
            #expect(quality.velocities.count == item.velocities && quality.pictures.count == item.pictures, "\(index): \(quality.velocities.count)")
        }
    }

    @Test("outliers that change no function make a poor file, and layers that they are in are named")
    func planted() throws {
        try PlantedCheckpoint.copy(ProofFixture.checkpointPath, to: folder.file("planted"))
        let checkpoint = try Checkpoint.open(folder.file("planted"))
        let file = try PackedFile.open(ProofFixture.convert(folder.file("planted"), .int8, to: folder.file("planted.sprint")))
        let quality = try Self.measured(file, checkpoint)
        let plain = try Self.measuredPreset.get(.int8)
        #expect(quality.word == .poor && quality.velocity.file.median < 30)
        for (own, other) in zip(quality.velocities, plain.velocities) { #expect(abs(own.sqnr.sixteen - other.sqnr.sixteen) < 1, "the function is the same") }
        let names = quality.layers.map(\.name)
        #expect((1...3).contains(names.count) && names.allSatisfy { $0.hasSuffix(".out.weight") }, "\(names)")
        #expect(quality.layers.map(\.gain) == quality.layers.map(\.gain).sorted(by: >))
    }

    @Test("a failed proof of a file that is coarse does not say that something else was converted")
    func harsh() throws {
        try PlantedCheckpoint.copy(ProofFixture.checkpointPath, to: folder.file("harsh"), share: 0.05, maxPower: 10)
        let checkpoint = try Checkpoint.open(folder.file("harsh"))
        let file = try PackedFile.open(ProofFixture.convert(folder.file("harsh"), .int8, to: folder.file("harsh.sprint")))
        let alone = try Verification(file, on: .best)
        #expect(!alone.passed && alone.findings.allSatisfy { $0.hint?.contains("rounded too coarsely") == true }, "\(alone.findings)")
        let verification = try Verification(file, against: checkpoint, on: .best)
        #expect(
            !verification.passed && !verification.findings.isEmpty && verification.findings.allSatisfy { $0.cause?.kind == .coarse }, "\(verification.findings)"
        )
        #expect(verification.report(environment: [], command: "").headline.contains("rounded too coarsely"))
        // A tensor that is wrong as well is no matter of grids.
        let changed = try ProofFixture.rewrite(
            file, to: folder.file("changed.sprint"),
            plane: { entry, planes in
                if entry.name == "dit.blocks.03.ff.in.weight" { planes[0] = try ProofFixture.flip(planes[0], element: 7) }
            }, attachments: { _, attachments in attachments = [] })
        let wrong = try Verification(changed, against: checkpoint, on: .best)
        #expect(wrong.findings.contains { $0.subject == "dit.blocks.03.ff.in.weight" } && !wrong.findings.contains { $0.cause?.kind == .coarse })
    }

    // MARK: - In a file

    /// The file with a record of its quality.
    private func file(_ change: @escaping (String) -> String = { $0 }, layer: String? = nil) throws -> PackedFile {
        let file = try ProofFixture.file(.int8)
        return try ProofFixture.rewrite(
            file, to: folder.file("recorded.sprint"),
            attachments: { hash, attachments in
                let record = Quality(
                    contentHash: hash, tool: "tests", prompts: 1, side: 8,
                    velocities: [Quality.Velocity(draw: 0, time: 1, sqnr: Quality.Pair(file: 42, sixteen: 55))],
                    pictures: [], features: [], layers: layer.map { [Quality.Layer(name: $0, gain: 1, judgedBy: .picture)] } ?? [])
                attachments.append((Quality.attachmentName, Array(change(String(decoding: record.attachment.bytes, as: UTF8.self)).utf8)))
            })
    }

    @Test func theRecordIsPartOfTheReport() throws {
        let verification = try Verification(file(layer: "dit.blocks.03.ff.in.weight"), on: .best)
        #expect(verification.passed && verification.quality?.word == .good)
        let report = verification.report(environment: [], command: "")
        #expect(report.json["quality"]?["word"] == "good" && report.json["quality"]?["measured"] == false)
        #expect(String(decoding: report.html, as: UTF8.self).contains("<p class=\"verdict ok\">good</p>"))
        #expect(try ProofFixture.verificationAlone(.int8).report(environment: [], command: "").json["quality"] == .null, "a file without record")
    }

    @Test("a record that is damaged, of another file, or that names what the file does not have is a finding")
    func damaged() throws {
        let files = [
            try file { $0.replacing("\"word\":\"good\"", with: "\"word\":\"poor\"") },
            try file { $0.replacing("\"contentHash\":\"", with: "\"contentHash\":\"0") },
            try file { _ in "[]" }, try file { _ in "" }, try file(layer: "dit.\u{1B}[2J"),
        ]
        for (index, file) in files.enumerated() {
            let verification = try Verification(file, on: .best)
            #expect(verification.findings.map(\.subject) == [Quality.attachmentName] && verification.quality == nil, "\(index): \(verification.findings)")
        }
    }

    @Test func aRecordThatPromisesMoreThanIsMeasuredIsAFinding() throws {
        let recorded = try file { $0.replacing("\"file\":42", with: "\"file\":50") }
        var options = Verification.Options()
        options.runsLayers = false
        options.measuresQuality = true
        let verification = try Verification(recorded, against: Checkpoint.open(ProofFixture.checkpointPath), on: .best, options: options)
        #expect(verification.findings.map(\.subject) == [Quality.attachmentName] && verification.findings.first?.what == "velocity")
        #expect(verification.quality?.velocities.count == 20, "what is measured is told")
    }
}

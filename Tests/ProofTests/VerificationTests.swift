import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Parity
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Proof

@Suite struct VerificationTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func checkpoint() throws -> Checkpoint { try Checkpoint.open(ProofFixture.checkpointPath) }

    private var tensorsOnly: Verification.Options {
        var options = Verification.Options()
        options.runsLayers = false
        return options
    }

    @Test("an honest file is green", arguments: Preset.allCases)
    func honest(preset: Preset) throws {
        let verification = try ProofFixture.verification(preset)
        #expect(verification.findings == [])
        #expect(verification.rungs.filter { !$0.passed } == [])
        #expect(verification.passed)
        let names = verification.series.map(\.title)
        #expect(names.contains("Text encoder, layer by layer") && names.contains("Transformer, block by block"))
        #expect(names.contains("Decoder, stage by stage") && names.contains("Encoder, stage by stage") && names.contains("From prompt to picture"))
        #expect(names.contains("Transformer, block by block, weights alone") == [.int8, .compact].contains(preset))
        for series in verification.series { #expect(!series.results.isEmpty, "\(series.title)") }
    }

    @Test func presetsThatKeepTheValuesGetTheTightGate() throws {
        let verification = try ProofFixture.verification(.bf16)
        let results = verification.series.flatMap(\.results).filter { $0.gate.criterion != .exact }
        #expect(results.allSatisfy { $0.gate.criterion == .relativeL2(1e-5) }, "the checkpoint is in bfloat16: nothing is rounded")
    }

    @Test func aFileAloneIsVerifiedToo() throws {
        let verification = try ProofFixture.verificationAlone(.int8)
        #expect(verification.passed)
        let ids = verification.rungs.map(\.id)
        #expect(ids == ids.sorted() && ids.first == "P0")
        // Every claim of the certificate is proved again, and nothing is claimed that takes the checkpoint.
        let index = try JSONValue.parse(ProofFixture.file(.int8).attachment("certificate/index.json"))
        let claims = try #require(index["rungs"]?.array).map { [$0["id"]?.string, $0["claim"]?.string] }
        #expect(!claims.isEmpty)
        for claim in claims { #expect(verification.rungs.contains { [$0.id, $0.claim] == claim && $0.passed }, "\(claim)") }
        #expect(Set(ids).isDisjoint(with: ["P2", "P4", "P5", "P9"]))
    }

    @Test func aFlippedByteIsFoundInItsTensor() throws {
        let file = try PackedFile.open(ProofFixture.convert(ProofFixture.checkpointPath, .bf16, to: folder.file("whole.sprint")))
        let entry = try #require(file.entry("dit.blocks.02.ff.in.weight"))
        var bytes = try InputFile(path: file.path).contents(limit: 1 << 30)
        bytes[Int(entry.planes[0].section.offset) + 1000] ^= 0x10
        let path = folder.file("flipped.sprint")
        try OutputFile.write(bytes, to: path, replace: false)
        let verification = try Verification(PackedFile.open(path), on: .best)
        #expect(!verification.passed)
        #expect(Set(verification.findings.map(\.subject)) == ["dit.blocks.02.ff.in.weight"])
    }

    @Test("one changed element of the file is found, whatever its checksums", arguments: Preset.allCases)
    func changedElement(preset: Preset) throws {
        let file = try ProofFixture.file(preset)
        var random = SplitMix64(seed: 7)
        // A tensor of every role and component.
        var targets: [String: TensorEntry] = [:]
        for entry in file.directory.tensors { targets["\(entry.component) \(entry.role)"] = entry }
        let names = Set(targets.values.map(\.name))
        let changed = try ProofFixture.rewrite(file, to: folder.file("changed.sprint")) { entry, planes in
            guard names.contains(entry.name) else { return }
            let plane = Int.random(in: 0..<planes.count, using: &random)
            // -127 would become -128, which the rules for values know without a checkpoint.
            var element = 0
            repeat {
                element = Int.random(in: 0..<planes[plane].shape.elementCount, using: &random)
            } while try planes[plane].widened().elements[element] == -127
            planes[plane] = try ProofFixture.flip(planes[plane], element: element)
        }
        let verification = try Verification(changed, against: checkpoint(), on: .best, options: tensorsOnly)
        #expect(verification.rungs.first { $0.id == "P0" }?.passed == true, "the file is consistent in itself")
        #expect(Set(verification.findings.map(\.subject)) == names)
        #expect(verification.findings.contains { $0.hint?.contains("packed values were changed") == true })
    }

    @Test("one changed element of the checkpoint is found", arguments: [Preset.int8, .bf16])
    func changedSource(preset: Preset) throws {
        // The last byte of a safetensors file lies in its last tensor, and the lowest bit of a bfloat16 in its first byte.
        let checkpoint = try ProofFixture.copyCheckpoint(to: folder.file("checkpoint")) { path, bytes in
            if path.hasSuffix(".safetensors") { bytes[bytes.count - 2] ^= 1 }
        }
        let verification = try Verification(ProofFixture.file(preset), against: checkpoint, on: .best, options: tensorsOnly)
        var expected: Set<String> = []
        for component in checkpoint.components.values {
            for file in component.files {
                let last = try #require(file.tensors.last?.name)
                for entry in try ProofFixture.file(preset).directory.tensors {
                    let isInComponent = Component(rawValue: entry.component)?.folder == component.name
                    if isInComponent && entry.sources.contains(where: { last == $0.name || last == "model.\($0.name)" }) { expected.insert(entry.name) }
                }
            }
        }
        #expect(expected.count >= 3)
        #expect(Set(verification.findings.map(\.subject)) == expected)
        #expect(verification.findings.contains { $0.what.contains("SHA-256") })
    }

    @Test func aForgedSourceRecordIsFound() throws {
        let file = try ProofFixture.file(.bf16)
        let forged = try ProofFixture.rewrite(
            file, to: folder.file("forged.sprint"),
            record: { entry, sources in
                guard entry.name == "dit.patch.weight", let first = sources.first else { return }
                sources[0] = SourceRecord(name: first.name, dtype: first.dtype, shape: first.shape, sha256: String(repeating: "0", count: 64))
            })
        let verification = try Verification(forged, against: checkpoint(), on: .best, options: tensorsOnly)
        #expect(verification.findings.map(\.subject) == ["dit.patch.weight"])
    }

    @Test func aTensorOfAnotherSchemeThanRecordedIsFound() throws {
        let changed = try ProofFixture.rewrite(
            ProofFixture.file(.int8), to: folder.file("scheme.sprint"),
            describe: { description in
                guard description.name == "dit.blocks.00.ff.out.weight" else { return description }
                return TensorDescription(
                    name: description.name, component: description.component, shape: description.shape, role: description.role, layout: description.layout,
                    scheme: description.scheme, activations: .float)
            })
        let verification = try Verification(changed, against: checkpoint(), on: .best, options: tensorsOnly)
        #expect(verification.findings.map(\.subject) == ["dit.blocks.00.ff.out.weight"])
        #expect(verification.findings.first?.expected == "int8-rotated int8-per-token")
    }

    @Test func aChangedConfigurationIsFound() throws {
        let changed = try ProofFixture.rewrite(
            ProofFixture.file(.bf16), to: folder.file("config.sprint"),
            blob: { name, bytes in
                guard name == "scheduler/scheduler_config.json" else { return }
                bytes = Array(String(decoding: bytes, as: UTF8.self).replacing("1000", with: "1001").utf8)
            })
        #expect(try Verification(changed, on: .best).passed, "alone, the file cannot know")
        let verification = try Verification(changed, against: checkpoint(), on: .best, options: tensorsOnly)
        #expect(verification.findings.map(\.subject) == ["scheduler/scheduler_config.json"])
    }

    @Test func aConfigurationThatAsksForOtherTensorsIsFoundInTheFileAlone() throws {
        let changed = try ProofFixture.rewrite(
            ProofFixture.file(.bf16), to: folder.file("layers.sprint"),
            blob: { name, bytes in
                guard name == "transformer/config.json" else { return }
                bytes = Array(String(decoding: bytes, as: UTF8.self).replacing("\"num_layers\": 5", with: "\"num_layers\": 4").utf8)
            })
        let verification = try Verification(changed, on: .best)
        #expect(!verification.passed)
        #expect(!verification.findings.isEmpty && verification.findings.allSatisfy { $0.subject.hasPrefix("dit.blocks.04.") })
    }

    @Test func theReportSaysWhatTheVerificationSays() throws {
        let verification = try Verification(ProofFixture.file(.int8), against: checkpoint(), on: .best, options: tensorsOnly)
        let report = verification.report(environment: [("tool", "tests")], command: "sprintpack verify a.sprint --against b")
        #expect(report.passed && report.json["passed"]?.bool == true && report.json["kind"]?.string == "verification")
        #expect(report.json["rungs"]?.array?.count == verification.rungs.count)
        #expect(report.tables.contains { $0.title == "Sizes" } && report.tables.contains { $0.title.hasPrefix("Weights furthest") && $0.rows.count == 10 })
    }
}

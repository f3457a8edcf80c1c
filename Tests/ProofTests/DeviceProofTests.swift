import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import TestKit
import Testing

@testable import Proof

/// What is proved of a file on another executor, and what is found that is wrong there.
@Suite struct DeviceProofTests {
    private static let device = Verification.Device("a far executor", environment: [("driver", "none")])

    private static func proof(_ preset: Preset, _ fault: FarExecutor.Fault? = nil) throws -> DeviceProof {
        try DeviceProof(try ProofFixture.file(preset), on: FarExecutor(fault), named: device.name, against: .best) { _ in }
    }

    @Test("the certificate's walk on another executor has the CPU's verdict, figure by figure", arguments: [Preset.int8, .bf16])
    func certificate(_ preset: Preset) throws {
        let file = try ProofFixture.file(preset)
        let certificate = try #require(try Certificate(file))
        func judged(on executor: some Executor) throws -> CertificateJudgement {
            try CertificateJudgement(certificate, SanaSprintPipeline(weights: PackedWeights(file), on: executor)) { _ in }
        }
        let (far, near) = (try judged(on: FarExecutor()), try judged(on: .best))
        #expect(far.rungs == near.rungs && far.repetition == near.repetition && far.findings == near.findings && far.results.count > 20)
        #expect(zip(far.results, near.results).allSatisfy { $0.name == $1.name && $0.metrics == $1.metrics })
    }

    @Test("an honest executor proves all of it, and the report names it", arguments: [Preset.int8, .fp32])
    func honest(_ preset: Preset) throws {
        let file = try ProofFixture.file(preset)
        var verification = try ProofFixture.verificationAlone(preset)
        let before = verification.rungs.count
        try verification.prove(file, on: FarExecutor(), Self.device, against: .best)
        #expect(verification.passed, "\(verification.findings)")
        let report = verification.report(environment: [], command: "")
        let own = report.rungs.filter { $0.claim.contains(Self.device.name) }
        #expect(own.count == report.rungs.count - before && report.headline.contains(Self.device.name))
        #expect(Set(own.map(\.id)) == ["P3", "P5", "P7", "P8"], "\(own.map(\.claim))")
        #expect(report.json["environment"]?["device"]?.string == Self.device.name && report.json["environment"]?["driver"] == "none")
        let names = report.series.first { $0.title.contains("own size") }?.results.map(\.name) ?? []
        #expect(names.contains("dit.blocks.00") && names.contains("text.layers.00") && names.contains("vae.dec.stage.0"), "\(names)")
    }

    @Test(
        "a bit that has changed on its way there is found, in the weight that has it",
        arguments: [
            "dit.blocks.01.self.qkv.weight", "text.layers.00.mlp.down.weight", "vae.dec.stage.0.block.00.conv1.weight", "dit.caption.in.weight",
        ])
    func flipped(_ weight: String) throws {
        let findings = try Self.proof(.int8, .flippedBit(weight: weight)).outcome.findings
        #expect(findings.first?.subject == weight, "\(findings)")
        #expect(findings.first?.what.contains("channel") == true && findings.first?.hint?.contains("compute on the CPU") == true)
    }

    @Test("an epilogue that is wrong at the model's own size alone is found") func manyRows() throws {
        let proof = try Self.proof(.int8, .manyRows)
        #expect(!proof.outcome.findings.isEmpty)
        #expect(proof.outcome.rungs.contains { $0.id == "P3" && $0.claim.contains("own size") && !$0.passed })
        #expect(proof.outcome.rungs.first?.passed == true, "a few rows are right")
    }

    @Test("nothing is proved on an executor of a file that is damaged") func damaged() throws {
        let folder = try TemporaryFolder()
        let file = try ProofFixture.rewrite(
            ProofFixture.file(.int8), to: folder.file("other.sprint"),
            plane: { entry, planes in if entry.name == "dit.blocks.00.self.out.weight" { planes[0] = try ProofFixture.flip(planes[0], element: 0) } },
            attachments: { _, _ in })
        var verification = try Verification(file, on: .best)
        #expect(!verification.passed)
        let before = verification.findings
        try verification.prove(file, on: FarExecutor(), Self.device, against: .best)
        #expect(verification.findings == before)
    }
}

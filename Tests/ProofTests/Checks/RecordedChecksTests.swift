import Checkpoints
import Conversion
import Files
import PackedFiles
import Parity
import StrictJSON
import TestKit
import Testing

@testable import Proof

/// What a file has from its checkpoint beside tensors: small files, and what was left out.
@Suite struct RecordedChecksTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The checkpoint with a configuration changed and written anew, as another program would.
    private func checkpoint(_ path: String, _ change: (inout JSONObject) -> Void) throws -> Checkpoint {
        try ProofFixture.copyCheckpoint(to: folder.file("checkpoint")) { name, bytes in
            guard name == path else { return }
            var object = try #require(try JSONValue.parse(bytes, maximumDepth: 16).object)
            change(&object)
            bytes = JSONValue.object(object).canonicalText
        }
    }

    @Test("who wrote a configuration, and how, is none of its values", arguments: ["model_index.json", "transformer/config.json"])
    func writers(path: String) throws {
        let outcome = BlobChecks(try ProofFixture.file(.bf16), try checkpoint(path) { $0["_diffusers_version"] = "0.99.0" }).outcome
        #expect(outcome.findings == [])
        let rung = try #require(outcome.rungs.first)
        #expect(rung.passed && rung.measure.hasSuffix("small files, 1 with the same values written otherwise"), "\(rung.measure)")
    }

    @Test("a member that is null is not one that is absent, and one number is not another")
    func values() throws {
        for (value, cause) in [(JSONValue.null, "sample_offset is absent instead of null"), (7, "sample_offset is absent instead of 7")] {
            let (file, checkpoint) = (try ProofFixture.file(.bf16), try checkpoint("transformer/config.json") { $0["sample_offset"] = value })
            let outcome = BlobChecks(file, checkpoint).outcome
            #expect(BlobCauses.explain(outcome.findings, file, checkpoint).map(\.cause?.text) == [cause])
            #expect(outcome.rungs.allSatisfy { !$0.passed })
            Paths.removeTree(folder.file("checkpoint"))
        }
    }

    @Test("names that were left out are those that the file records")
    func ignored() throws {
        let file = try ProofFixture.file(.bf16)
        var source = CheckpointSource(ProofFixture.checkpointPath)
        #expect(try PolicyChecks(file, source.open()).outcome.findings == [])
        source.ignored = [Glob("pos_embed")]
        let findings = try PolicyChecks(file, source.open()).outcome.findings
        #expect(findings.map(\.what) == ["names that were left out (ignore)"])
        #expect(findings.map(\.found) == ["none"])
        let path = folder.file("ignoring.sprint")
        try ProofFixture.convert(ConversionPlan(source.open(), ConversionOptions(.bf16, components: ComponentSelection("transformer"))), to: path)
        let recording = try PackedFile.open(path)
        #expect(recording.ignored == ["pos_embed"])
        #expect(try PolicyChecks(recording, source.open()).outcome.findings == [])
        source.ignored = []
        #expect(try PolicyChecks(recording, source.open()).outcome.findings.map(\.expected) == ["none"])
    }
}

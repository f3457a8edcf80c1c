import Checkpoints
import Inference
import Operations
import Parity
import TestKit
import Testing

@testable import Proof

@Suite struct PackedDefectTests {
    @Test("a planted defect is found, located and explained", arguments: PackedDefects.all)
    func defect(_ defect: PackedDefect) throws {
        let folder = try TemporaryFolder()
        let file = try ProofFixture.plant(defect, to: folder.file("defect.sprint"))
        var options = Verification.Options()
        options.runsLayers = false
        let verification = try Verification(file, against: Checkpoint.open(ProofFixture.checkpointPath), on: .best, options: options)
        #expect(!verification.passed)
        #expect(Set(verification.findings.map(\.subject)) == [defect.subject])
        let causes = verification.findings.compactMap(\.cause)
        #expect(causes.contains { $0.kind == defect.cause }, "\(causes.map(\.text))")
    }
}

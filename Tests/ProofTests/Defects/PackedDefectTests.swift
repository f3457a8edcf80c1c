import Checkpoints
import Inference
import Operations
import Parity
import TestKit
import Testing

@testable import Proof

@Suite struct PackedDefectTests {
    @Test("planted defects are found, located and explained, each in its place and no other", arguments: PackedDefects.groups)
    func defects(_ group: PackedDefects.Group) throws {
        let folder = try TemporaryFolder()
        let file = try ProofFixture.plant(group, to: folder.file("defect.sprint"))
        var options = Verification.Options()
        options.runsLayers = false
        let verification = try Verification(file, against: Checkpoint.open(ProofFixture.checkpointPath), on: .best, options: options)
        #expect(!verification.passed)
        #expect(Set(verification.findings.map(\.subject)) == Set(group.all.map(\.subject)))
        for defect in group.all {
            let causes = verification.findings.filter { $0.subject == defect.subject }.compactMap(\.cause)
            #expect(causes.contains { $0.kind == defect.cause }, "\(defect.name): \(causes.map(\.text))")
        }
    }
}

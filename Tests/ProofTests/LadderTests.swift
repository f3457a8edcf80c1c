import Checkpoints
import Conversion
import Files
import Glibc
import Operations
import PackedFiles
import Parity
import Tensors
import TestKit
import Testing

@testable import Proof

/// A tensor that cannot be read is a finding of the rung that wanted it, and never left out of its count.
@Suite struct LadderTests {
    private static func overwrite(_ path: String, at offset: UInt64, _ bytes: [UInt8]) throws {
        let descriptor = unsafe open(path, O_WRONLY)
        defer { close(descriptor) }
        let count = unsafe bytes.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
        try #require(count == bytes.count)
    }

    @Test(arguments: [
        ("the quantizer", "integer accumulators", "codes and scales", "codes and scales are those"),
        ("integer accumulators", "single operations in float64", "integer products", "integer accumulators of linears"),
    ])
    func unreadable(from: String, to: String, what: String, claim: String) throws {
        let folder = try TemporaryFolder()
        let path = try ProofFixture.convert(ProofFixture.checkpointPath, .int8, to: folder.file("x.sprint"))
        let file = try PackedFile.open(path)
        let entry = try #require(file.directory.tensors.first { $0.activations == .int8PerToken && $0.shape.rank == 2 })
        let offset = entry.planes[0].section.offset
        let whole = try InputFile(path: path).bytes(at: offset, count: 8)
        var options = Verification.Options()
        options.steps = 1
        // It can be read before and after.
        let verification = try Verification(file, against: Checkpoint.open(ProofFixture.checkpointPath), on: .best, options: options) { progress in
            if progress == .running(from) { try? Self.overwrite(path, at: offset, whole.map { ~$0 }) }
            if progress == .running(to) { try? Self.overwrite(path, at: offset, whole) }
        }
        let finding = try #require(verification.findings.first)
        #expect(verification.findings.count == 1 && finding.subject == entry.name && finding.what == what)
        #expect(finding.found.contains("frame-checksum"))
        let rung = try #require(verification.rungs.first { $0.claim.hasPrefix(claim) })
        #expect(!rung.passed)
        let numbers = rung.measure.split(separator: " ").compactMap { Int($0) }
        #expect(numbers[0] + 1 == numbers[1], "\(rung.measure)")
    }
}

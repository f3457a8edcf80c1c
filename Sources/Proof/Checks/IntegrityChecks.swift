import PackedFiles
import Parity

/// Rung P0: every byte of the file is the one that was written.
struct IntegrityChecks {
    private(set) var outcome = Outcome()

    init(_ file: PackedFile, progress: (UInt64, UInt64) -> Void) {
        let problems = file.verifyIntegrity(progress)
        outcome.findings = problems.map(Self.finding)
        let directory = file.directory
        let sections = directory.tensors.reduce(directory.blobs.count + file.attachments.count) { $0 + $1.planes.count }
        // Several frames of one plane may be damaged: it is planes and blobs that are whole or not.
        let damaged = Set(problems.map { "\($0.tensor ?? $0.description) \($0.plane ?? "")" }).count
        outcome.add(
            "P0", "every stored byte is the one that was written", held: max(0, sections - damaged), of: sections, unit: "planes and blobs",
            reason: "XXH3 of each frame and SHA-256 of each plane, blob and attachment, as the directory has them")
    }

    private static func finding(_ problem: IntegrityFinding) -> Finding {
        let place = problem.plane.map { plane in "plane \(plane)" + (problem.frame.map { ", frame \($0)" } ?? "") } ?? "content"
        guard case .refused(let failure, let subject, let expected, let found) = problem.error else {
            return Finding(subject: problem.tensor ?? "file", what: place, expected: "to be readable", found: "\(problem.error)")
        }
        return Finding(
            subject: problem.tensor ?? subject, what: "\(place): \(failure.rawValue)", expected: expected, found: found,
            hint: "the file is damaged; fetch or convert it again")
    }
}

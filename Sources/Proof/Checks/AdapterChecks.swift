import Checkpoints
import Conversion
import PackedFiles
import Parity

/// Rung P1: the adapters in the weights are those that were given with the checkpoint, with their weights.
struct AdapterChecks {
    private(set) var outcome = Outcome()

    init(_ file: PackedFile, _ checkpoint: Checkpoint) throws(ProofError) {
        let recorded = file.directory.sourceFiles.filter { $0.sha256 != nil }
        let given: [(path: String, byteCount: UInt64, sha256: String, weight: Double?)]
        do throws(CheckpointError) { given = try checkpoint.adapterFiles() } catch { throw .conversion(.checkpoint(error)) }
        guard !recorded.isEmpty || !given.isEmpty else { return }
        var held = 0
        for index in 0..<max(recorded.count, given.count) {
            let count = outcome.findings.count
            switch (index < recorded.count ? recorded[index] : nil, index < given.count ? given[index] : nil) {
            case (let recorded?, let given?):
                if recorded.sha256 != given.sha256 { add(recorded.path, "adapter: SHA-256", recorded.sha256 ?? "", given.sha256) }
                if recorded.weight != given.weight { add(recorded.path, "adapter: weight", Self.text(recorded.weight), Self.text(given.weight)) }
            case (let recorded?, nil): add(recorded.path, "adapter", "it beside the checkpoint, with the weight \(Self.text(recorded.weight))", "none")
            case (nil, let given?): add(given.path, "adapter", "none, as the file records", "one")
            case (nil, nil): break
            }
            if outcome.findings.count == count { held += 1 }
        }
        outcome.add(
            "P1", "the adapters are the ones that were added", held: held, of: max(recorded.count, given.count), unit: "files",
            reason: "SHA-256 of each file and its weight, recorded at conversion")
    }

    private mutating func add(_ subject: String, _ what: String, _ expected: String, _ found: String) {
        let hint = "give the adapters that the file was made with, in their order: --lora FILE=WEIGHT"
        outcome.findings.append(Finding(subject: subject, what: what, expected: expected, found: found, hint: hint))
    }

    private static func text(_ weight: Double?) -> String { weight.map { "\($0)" } ?? "none" }
}

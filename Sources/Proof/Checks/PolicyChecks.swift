import Checkpoints
import Conversion
import Inference
import PackedFiles
import Parity
import StrictJSON
import Tensors

/// Rung P2: every tensor is stored as the preset and the rules that the file records would store it.
struct PolicyChecks {
    private(set) var outcome = Outcome()
    private static let claim = "every tensor is stored as the recorded preset and rules say"

    init(_ file: PackedFile, _ checkpoint: Checkpoint) throws(ProofError) {
        let plan: ConversionPlan
        do throws(ConversionError) { plan = try Self.plan(file, checkpoint) } catch {
            if let failure = ProofError(machine: error) { throw failure }
            outcome.findings = [Finding(subject: "policy", what: "preset and rules", expected: "to make a plan for this checkpoint", found: "\(error)")]
            add(held: 0, of: file.directory.tensors.count)
            return
        }
        let (recorded, left) = (file.directory.policy[PackedFile.ignoredKey], checkpoint.recordedIgnored)
        if recorded != left {
            outcome.findings.append(
                Finding(
                    subject: "policy", what: "names that were left out (ignore)", expected: left?.text ?? "none", found: recorded?.text ?? "none",
                    hint: "without --ignore, verify leaves out what the file says"))
        }
        var held = 0
        for tensor in plan.tensors {
            // A tensor that is not there at all is the table's finding.
            guard let entry = file.entry(tensor.name) else { continue }
            let stored = entry.scheme.name + (entry.activations.map { " \($0.rawValue)" } ?? "")
            if stored == tensor.storage.description {
                held += 1
            } else {
                outcome.findings.append(Finding(subject: tensor.name, what: "scheme", expected: tensor.storage.description, found: stored))
            }
        }
        add(held: held, of: file.directory.tensors.count)
    }

    private mutating func add(held: Int, of total: Int) {
        outcome.add("P2", Self.claim, held: held, of: total, unit: "tensors", reason: "scheme and activations against a plan made anew from the file's record")
    }

    /// The plan that the file's own record of preset, rules, fusions and components gives.
    private static func plan(_ file: PackedFile, _ checkpoint: Checkpoint) throws(ConversionError) -> ConversionPlan {
        let directory = file.directory
        guard let preset = Preset(rawValue: directory.preset) else {
            throw .component("preset \(directory.preset)", message: "is none of \(Preset.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let lines = directory.policy["rules"]?.array?.compactMap(\.string) ?? []
        let rules = try RuleFile(Array(lines.joined(separator: "\n").utf8), schemes: file.schemes)
        let components = directory.components.compactMap { Component(rawValue: $0.name) }
        let frozen = try wrapping(ConversionError.inference, try FrozenSchedule(policy: directory.policy))
        var options = ConversionOptions(
            preset, rules: rules, fusions: Fusions(names: directory.fusions), components: .listed(components), allowsNonfinite: true, frozenSchedule: frozen,
            memoryBound: .max)
        if let choices = try LayerChoices(policy: directory.policy, schemes: file.schemes) { options.choose(choices) }
        return try ConversionPlan(checkpoint, options)
    }
}

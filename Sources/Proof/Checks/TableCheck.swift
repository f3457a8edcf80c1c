import Inference
import PackedFiles
import Parity
import StrictJSON

/// Rung P1: the tensors are those that the configuration inside the file asks for, no more and no fewer.
struct TableCheck {
    private(set) var outcome = Outcome()

    init(_ file: PackedFile) {
        let configuration: SanaSprintConfiguration
        do {
            configuration = try Self.configuration(of: file)
        } catch {
            outcome.findings = [Finding(subject: "configuration", what: "blobs", expected: "a configuration of SANA-Sprint", found: "\(error)")]
            outcome.add("P1", Self.claim, held: 0, of: file.directory.tensors.count, unit: "tensors", reason: Self.reason)
            return
        }
        let fusions = Fusions(names: file.directory.fusions)
        let frozen: FrozenSchedule?
        do throws(InferenceError) { frozen = try FrozenSchedule(policy: file.directory.policy) } catch {
            outcome.findings = [Finding(subject: "policy", what: FrozenSchedule.policyKey, expected: "a frozen schedule", found: "\(error)")]
            outcome.add("P1", Self.claim, held: 0, of: file.directory.tensors.count, unit: "tensors", reason: Self.reason)
            return
        }
        for name in file.directory.fusions where !fusions.names.contains(name) {
            let known = Fusions.names.map(\.1).joined(separator: ", ")
            outcome.findings.append(Finding(subject: "fusions", what: "name", expected: "one of \(known)", found: name))
        }
        var rows: [(row: WeightRow, component: Component)] = []
        for entry in file.directory.components {
            guard let component = Component(rawValue: entry.name) else {
                outcome.findings.append(Finding(subject: "components", what: "name", expected: "a component of SANA-Sprint", found: entry.name))
                continue
            }
            rows += SanaSprintWeights.table(configuration, component: component, fusions: fusions, frozen: frozen).map { ($0, component) }
        }
        var good = 0
        for (row, component) in rows {
            let problems = Self.compare(row, component, file.entry(row.name))
            outcome.findings += problems
            if problems.isEmpty { good += 1 }
        }
        let expected = Set(rows.map { ExactString($0.row.name) })
        let strangers = file.directory.tensors.map(\.name).filter { !expected.contains(ExactString($0)) }
        outcome.findings += strangers.map { Finding(subject: $0, what: "tensor", expected: "none of this name for the file's configuration", found: "one") }
        outcome.add("P1", Self.claim, held: good, of: rows.count + strangers.count, unit: "tensors", reason: Self.reason)
    }

    private static let claim = "the tensors are those that the configuration in the file asks for"
    private static let reason = "names, shapes, roles and layouts against the weight table of the file's own configuration"

    private static func configuration(of file: PackedFile) throws -> SanaSprintConfiguration {
        func json(_ name: String) throws -> JSONValue? {
            guard file.directory.blobs.contains(where: { $0.name == name }) else { return nil }
            return try JSONValue.parse(file.blob(name))
        }
        guard let transformer = try json("transformer/config.json") else {
            throw InferenceError.source("\(file.path): expected the blob transformer/config.json, found none")
        }
        var files = ["transformer": transformer]
        for folder in SanaSprintConfiguration.folders(of: Component.allCases) {
            files[folder] = try json("\(folder)/\(folder == "scheduler" ? "scheduler_config" : "config").json")
        }
        return try SanaSprintConfiguration(files)
    }

    private static func compare(_ row: WeightRow, _ component: Component, _ entry: TensorEntry?) -> [Finding] {
        guard let entry else { return [Finding(subject: row.name, what: "tensor", expected: "one of shape \(row.shape)", found: "none")] }
        let pairs = [
            ("component", component.rawValue, entry.component), ("shape", "\(row.shape)", "\(entry.shape)"), ("role", row.role.rawValue, entry.role),
            ("layout", row.layout.rawValue, entry.layout.rawValue),
        ]
        return pairs.filter { $0.1 != $0.2 }.map { Finding(subject: row.name, what: $0.0, expected: $0.1, found: $0.2) }
    }
}

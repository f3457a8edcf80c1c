import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON

/// Rungs P1 and P2: every source tensor is the one that was converted, and every packed tensor is what converting it again gives.
struct TensorChecks {
    private(set) var outcome = Outcome()
    private var sources = (held: 0, all: 0)
    private var derived = (held: 0, all: 0)
    private var bounded = (held: 0, all: 0)
    private var worstShare = 0.0
    private var errors: [(name: String, scheme: String, error: QuantizationError)] = []

    init(_ file: PackedFile, _ checkpoint: Checkpoint, on executor: CPU, progress: (_ tensor: String, _ done: Int, _ total: Int) -> Void) throws(ProofError) {
        let rederivation: Rederivation
        do throws(ConversionError) { rederivation = try Rederivation(file, checkpoint, on: executor) } catch {
            if let failure = ProofError(machine: error) { throw failure }
            outcome.findings = [
                Finding(
                    subject: checkpoint.path, what: "checkpoint", expected: "the tensors that the file was made from", found: "\(error)",
                    hint: "is it the checkpoint that the file was made from?")
            ]
            addRungs(tensors: file.directory.tensors.count)
            return
        }
        outcome.findings = rederivation.missing.map { Finding(subject: $0, what: "tensor", expected: "one made from the checkpoint", found: "none") }
        let entries = file.directory.tensors
        for (index, entry) in entries.enumerated() {
            progress(entry.name, index, entries.count)
            derived.all += 1
            sources.all += entry.sources.count
            do throws(ConversionError) {
                take(try rederivation.check(entry), of: entry)
            } catch {
                if let failure = ProofError(machine: error) { throw failure }
                outcome.findings.append(Finding(subject: entry.name, what: "made again", expected: "the packed values", found: "\(error)"))
            }
        }
        progress("", entries.count, entries.count)
        do throws(CheckpointError) { try checkpoint.checkUnchanged() } catch { throw .conversion(.checkpoint(error)) }
        derived.all += rederivation.missing.count
        addRungs(tensors: derived.all)
        outcome.tables.append(worst)
    }

    private mutating func take(_ finding: Rederivation.Finding, of entry: TensorEntry) {
        let name = entry.name
        let hint = Self.cause(finding)
        for source in finding.sources {
            guard !source.isSame else {
                sources.held += 1
                continue
            }
            let what = "source \(source.name): SHA-256"
            let recorded = source.recorded.isEmpty ? "a record of it" : source.recorded
            outcome.findings.append(Finding(subject: name, what: what, expected: recorded, found: source.found, hint: hint))
        }
        outcome.findings += finding.disagreements.map { Finding(subject: name, what: "entry", expected: "what the weight table says", found: $0) }
        if let difference = finding.difference {
            outcome.findings.append(
                Finding(
                    subject: name, what: "plane \(difference.plane), element \(difference.element)", expected: "bit-identical to what converting again gives",
                    found: "\(difference.count) elements that differ", hint: hint))
        } else if finding.disagreements.isEmpty {
            derived.held += 1
        }
        if let bound = finding.bound {
            bounded.all += 1
            worstShare = max(worstShare, bound.largestShare)
            if bound.holds {
                bounded.held += 1
            } else {
                let found = "\(bound.violations) values outside, the first at element \(bound.first ?? 0)"
                outcome.findings.append(Finding(subject: name, what: "error", expected: "within the bound of \(entry.scheme)", found: found))
            }
        }
        let recorded = entry.error ?? QuantizationError(relativeL2: 0, maxAbs: 0)
        if finding.isBitIdentical && finding.disagreements.isEmpty && recorded != finding.error {
            let (expected, found) = (Self.text(finding.error), Self.text(recorded))
            outcome.findings.append(Finding(subject: name, what: "recorded quantization error", expected: expected, found: found))
        }
        errors.append((name, entry.scheme.name, finding.error))
    }

    /// What a combination of hashes and values tells about where the change was made.
    private static func cause(_ finding: Rederivation.Finding) -> String? {
        switch (finding.sources.allSatisfy(\.isSame), finding.isBitIdentical) {
        case (true, false): "the checkpoint is the one recorded: the packed values were changed"
        case (false, true): "the values agree: the source changed where packing rounds it off, or the record did"
        case (false, false): "the checkpoint is not the one that the file was made from, or it was changed since"
        case (true, true): nil
        }
    }

    private static func text(_ error: QuantizationError) -> String { "relative L2 \(error.relativeL2), max abs \(error.maxAbs)" }

    private mutating func addRungs(tensors: Int) {
        outcome.add(
            "P1", "the checkpoint's tensors are the ones that were converted", held: sources.held, of: max(sources.all, 1), unit: "source tensors",
            reason: "SHA-256 of each source tensor, recorded at conversion")
        outcome.add(
            "P2", "every packed tensor is made again from the checkpoint, bit for bit", held: derived.held, of: tensors, unit: "tensors",
            reason: "conversion is deterministic: one changed element of a source or of the file shows")
        let held = bounded.held == tensors
        outcome.rungs.append(
            Rung(
                id: "P2", claim: "no value is further from its source than its scheme allows",
                measure: "\(bounded.held) of \(tensors) tensors, the worst value at \(Decimal.short(100 * worstShare))% of its bound",
                gate: "100% of the bound",
                margin: worstShare > 0 ? "\(Decimal.short(1 / worstShare))x" : "exact", passed: held,
                reason: "int8: half a step of the row; 16 bits: half a unit in the last place; float32: none"))
    }

    /// The tensors that quantization costs most.
    private var worst: ReportTable {
        let order = errors.filter { $0.error.relativeL2 > 0 }.sorted { $0.error.relativeL2 > $1.error.relativeL2 }
        let rows = order.prefix(10).map { item in
            [
                item.name, item.scheme, item.error.sqnr.map { Decimal.fixed($0, digits: 2) } ?? "exact", Decimal.short(item.error.relativeL2),
                Decimal.short(item.error.maxAbs),
            ]
        }
        let exact = errors.count - order.count
        return ReportTable(
            title: "Weights furthest from their source (\(exact) of \(errors.count) tensors are exact)",
            columns: ["Tensor", "Scheme", "SQNR dB", "Rel L2", "Max abs"], rows: rows, topic: .worst,
            bars: .init(labels: 1, column: 3, unit: "rel L2", figures: 2))
    }
}

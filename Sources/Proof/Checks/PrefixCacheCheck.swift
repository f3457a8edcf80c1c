import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import Tensors

/// Rung P6: the prefix cache is what the file's own text encoder computes of the instruction.
struct PrefixCacheCheck {
    private(set) var outcome = Outcome()
    private static let claim = "the prefix cache is what the file's text encoder computes"
    /// Relative L2 of each attachment: other CPUs round sums in other orders.
    private static let gate = 1e-5

    /// Computes it anew where the file has one.
    init(_ file: PackedFile, on executor: CPU) throws(ProofError) {
        guard file.attachments.contains(where: { $0.name.hasPrefix(PromptPrefix.folder) }) else { return }
        let expected: [PrefixCache.Attachment]
        do throws(InferenceError) { expected = try PrefixCache.attachments(of: file, on: executor) } catch {
            if let failure = ProofError(machine: error) { throw failure }
            outcome.findings = [Finding(subject: PromptPrefix.folder, what: "computed again", expected: "the attachments", found: "\(error)")]
            outcome.add("P6", Self.claim, held: 0, of: 1, unit: "attachments", reason: "computed again")
            return
        }
        let names = file.attachments.map(\.name).filter { $0.hasPrefix(PromptPrefix.folder) }
        let strangers = names.filter { name in !expected.contains { $0.name == name } }
        outcome.findings = strangers.map { Finding(subject: $0, what: "attachment", expected: "none of this name", found: "one") }
        var (held, worst) = (0, 0.0)
        for attachment in expected {
            if let finding = Self.compare(attachment, file, &worst) { outcome.findings.append(finding) } else { held += 1 }
        }
        let total = expected.count + strangers.count
        outcome.rungs.append(
            Rung(
                id: "P6", claim: Self.claim, measure: "\(held) of \(total) attachments, the worst at relative L2 \(Decimal.short(worst))",
                gate: "relative L2 \(Decimal.short(Self.gate))", margin: worst > 0 ? "\(Decimal.short(Self.gate / worst))x" : "exact", passed: held == total,
                reason: "computed again from the packed weights; the index byte for byte"))
    }

    private static func compare(_ expected: PrefixCache.Attachment, _ file: PackedFile, _ worst: inout Double) -> Finding? {
        let found: [UInt8]
        do throws(PackedFileError) { found = try file.attachment(expected.name) } catch {
            return Finding(subject: expected.name, what: "attachment", expected: "to be readable", found: "\(error)")
        }
        guard found != expected.bytes else { return nil }
        guard expected.name != PromptPrefix.indexName, found.count == expected.bytes.count else {
            return Finding(
                subject: expected.name, what: "content", expected: "what the file's weights, tokenizer and the instruction give", found: "something else",
                hint: "the cache was computed from another file or for another instruction; convert again")
        }
        var (difference, size) = (0.0, 0.0)
        for start in stride(from: 0, to: found.count, by: 4) {
            let (left, right) = (number(found, start), number(expected.bytes, start))
            difference += (left - right) * (left - right)
            size += right * right
        }
        let relative = size > 0 ? (difference / size).squareRoot() : difference.squareRoot()
        worst = max(worst, relative.isFinite ? relative : .infinity)
        guard !(relative <= gate) else { return nil }
        return Finding(
            subject: expected.name, what: "values", expected: "relative L2 of at most \(gate)", found: "\(relative)",
            hint: "the cache was computed from other weights, or changed; convert again")
    }

    private static func number(_ bytes: [UInt8], _ start: Int) -> Double {
        let bits = (0..<4).reduce(0 as UInt32) { $0 | UInt32(bytes[start + $1]) << (8 * $1) }
        return Double(Float(bitPattern: bits))
    }
}

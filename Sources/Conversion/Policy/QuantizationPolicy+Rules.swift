import Checkpoints
import PackedFiles

extension QuantizationPolicy {
    /// Every rule has to decide about something: one that does not was meant for another name, or stands behind one that takes it all.
    func checkRulesUsed(by tensors: [PlannedTensor]) throws(ConversionError) {
        for rule in rules where !tensors.contains(where: { $0.ruleLine == rule.line }) {
            guard let first = tensors.first(where: { rule.matches($0.name) }) else {
                let nearest = NearestNames(tensors.map(\.name)).nearest(to: rule.pattern)
                let hint = nearest.isEmpty ? "`sprintpack inspect --tensors` lists the names of a packed file" : "nearest: \(nearest.joined(separator: ", "))"
                throw .rule(line: rule.line, message: "\(rule.pattern) matches no tensor; \(hint)")
            }
            throw .rule(
                line: rule.line, message: "\(rule.pattern) decides nothing: line \(first.ruleLine ?? 0) above takes \(first.name) and all else that it matches")
        }
    }
}

import Inference
import Parity
import ProbePoints
import StrictJSON

/// Compares the token ids of a trace with those of the model's own tokenizer.
enum TokenCauses {
    static func check(_ values: TraceValues, _ weights: any WeightSource) throws -> Finding? {
        guard let found = try values.integers(Probe(.tokens)), let text = values.request("prompt")?.string, values.has(Probe(.tokens)) else { return nil }
        guard let bytes = try? weights.tokenizer(), let tokenizer = try? GemmaTokenizer(bytes) else { return nil }
        let instructed = values.request("instruction")?.bool ?? true
        func ids(_ text: String, _ instructed: Bool) -> [Int] {
            SanaSprintPrompt(text, tokenizer: tokenizer, withInstruction: instructed).paddedIDs.map { Int($0) }
        }
        let expected = ids(text, instructed)
        guard expected != found else { return nil }
        return Finding(
            subject: Probe(.tokens).name, what: "tokens", expected: "\(expected.count) ids as the model's tokenizer gives them",
            found: "\(zip(expected, found).count { $0 != $1 } + abs(expected.count - found.count)) other ids",
            cause: cause(expected, found, other: ids(text, !instructed), tokenizer, text, instructed))
    }

    private static func cause(_ expected: [Int], _ found: [Int], other: [Int], _ tokenizer: GemmaTokenizer, _ text: String, _ instructed: Bool) -> Cause {
        let tokens = expected.reversed().drop { $0 == 0 }.reversed().map { $0 }
        let theirs = found.reversed().drop { $0 == 0 }.reversed().map { $0 }
        if theirs == other.reversed().drop(while: { $0 == 0 }).reversed().map({ $0 }) {
            return Cause(.prompt, instructed ? "the instruction before the prompt is missing" : "an instruction stands before the prompt")
        }
        if theirs == Array(tokens.dropFirst()) { return Cause(.prompt, "the first token, <bos>, is missing") }
        if theirs == tokens { return Cause(.prompt, "the ids are padded to another length") }
        if found.drop(while: { $0 == 0 }).elementsEqual(tokens) { return Cause(.prompt, "the padding is on the left") }
        let raw = (instructed ? SanaSprintInstruction.text : "") + text
        if theirs == tokenizer.encode(raw).map({ Int($0) }) { return Cause(.prompt, "the prompt is not lower-cased and stripped") }
        let first = zip(expected, found).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(expected.count, found.count)
        return Cause(.tokenizer, "another tokenizer: the ids differ from position \(first) on")
    }
}

import Inference
import Operations
import StrictJSON
import Synchronization

/// A source that counts what is read of another, by name, and says so at each read.
final class CountingWeights: WeightSource {
    private let base: any WeightSource
    private let names = Mutex<[String]>([])
    private let listener = Mutex<@Sendable (Int) -> Void>({ _ in })

    init(_ base: any WeightSource) { self.base = base }

    /// Takes the names that were read since the last time.
    func take() -> [String] {
        names.withLock { names in
            defer { names = [] }; return names
        }
    }

    /// Has `body` called with the number of reads so far, before each.
    func listen(_ body: @escaping @Sendable (Int) -> Void) { listener.withLock { $0 = body } }

    private func count(_ name: String) {
        let count = names.withLock { names in
            names.append(name)
            return names.count
        }
        listener.withLock { $0 }(count)
    }

    func weight(_ name: String) throws(InferenceError) -> StoredWeight {
        count(name)
        return try base.weight(name)
    }

    func rows(_ indices: [Int], of name: String) throws(InferenceError) -> StoredWeight {
        count(name)
        return try base.rows(indices, of: name)
    }

    func tokenizer() throws(InferenceError) -> [UInt8] {
        count("tokenizer")
        return try base.tokenizer()
    }

    func configuration(_ name: String) throws(InferenceError) -> JSONValue { try base.configuration(name) }
    func contains(_ name: String) -> Bool { base.contains(name) }
    func promptPrefix() throws(InferenceError) -> PromptPrefix? { try base.promptPrefix() }
    var fusions: Fusions { base.fusions }
    var deviations: Deviations { base.deviations }
    var summaries: [WeightSummary] { base.summaries }
    var readingBytes: Int { base.readingBytes }
    var tokenizerByteCount: Int { base.tokenizerByteCount }
    var frozenSchedule: FrozenSchedule? { base.frozenSchedule }
}

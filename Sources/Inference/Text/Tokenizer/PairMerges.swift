/// The merges of a byte-pair encoding, and the loop that applies them.
///
/// Source: Hugging Face tokenizers, models/bpe/word.rs (`merge_all`).
struct PairMerges: Sendable {
    /// From two ids to the rank of their merge; lower ranks go first.
    private var ranks: [UInt64: UInt32] = [:]
    /// The id that the merge of a rank makes.
    private var products: [Int32] = []

    init(expectedCount: Int = 0) {
        ranks.reserveCapacity(expectedCount)
        products.reserveCapacity(expectedCount)
    }

    /// Adds the next merge in rank. Of two merges of the same pair the later counts, as in the reference.
    mutating func append(_ left: Int32, _ right: Int32, into product: Int32) {
        ranks[Self.pair(left, right)] = UInt32(products.count)
        products.append(product)
    }

    /// The ids that are left when no merge applies any more: always the merge of the lowest rank, the leftmost among equals.
    ///
    /// Complexity: O(n log n). A prompt of Gemma's is one word, whatever its length.
    func merged(_ characters: [Int32]) -> [Int32] {
        precondition(characters.count <= UInt32.max, "a position has 32 bits")
        var ids = characters
        var queue = MinimumHeap()
        // A linked list through `ids`: position of the neighbours, -1 at the ends. A removed symbol has the id -1.
        var previous = ids.indices.map { $0 - 1 }
        var next = ids.indices.map { $0 + 1 < ids.count ? $0 + 1 : -1 }

        func enqueue(_ position: Int) {
            guard let rank = ranks[Self.pair(ids[position], ids[next[position]])] else { return }
            queue.insert(UInt64(rank) << 32 | UInt64(position))
        }
        for position in ids.indices.dropLast() { enqueue(position) }

        while let first = queue.removeMinimum() {
            let position = Int(first & 0xFFFF_FFFF)
            let product = products[Int(first >> 32)]
            let right = next[position]
            // The entry is out of date when its symbols have been merged with others since.
            guard ids[position] >= 0, right >= 0, let rank = ranks[Self.pair(ids[position], ids[right])], products[Int(rank)] == product else { continue }
            ids[position] = product
            ids[right] = -1
            next[position] = next[right]
            if next[right] >= 0 {
                previous[next[right]] = position
                enqueue(position)
            }
            if previous[position] >= 0 { enqueue(previous[position]) }
        }
        return ids.filter { $0 >= 0 }
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }
}

/// A binary heap of words.
private struct MinimumHeap {
    private var words: [UInt64] = []

    mutating func insert(_ word: UInt64) {
        var hole = words.count
        words.append(word)
        while hole > 0 {
            let parent = (hole - 1) / 2
            guard words[parent] > word else { break }
            words[hole] = words[parent]
            hole = parent
        }
        words[hole] = word
    }

    mutating func removeMinimum() -> UInt64? {
        guard let minimum = words.first else { return nil }
        let word = words.removeLast()
        guard !words.isEmpty else { return minimum }
        var hole = 0
        while true {
            var child = 2 * hole + 1
            guard child < words.count else { break }
            if child + 1 < words.count, words[child + 1] < words[child] { child += 1 }
            guard words[child] < word else { break }
            words[hole] = words[child]
            hole = child
        }
        words[hole] = word
        return minimum
    }
}

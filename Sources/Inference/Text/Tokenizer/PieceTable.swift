/// The pieces of a vocabulary and their ids, compared by their bytes.
///
/// A quarter of a million pieces lie in one array, and are found through a table of positions: a dictionary of arrays takes
/// several times as long to fill and to ask.
struct PieceTable: Sendable {
    private struct Entry {
        let start: Int
        let count: Int32
        let id: Int32
    }

    /// All pieces, one after the other.
    private var bytes: [UInt8] = []
    private var entries: [Entry] = []
    /// Open addressing, never more than half full: the upper half of a piece's hash, and its position in `entries` plus one; 0 if free.
    private var slots = [UInt64](repeating: 0, count: 1024)

    var count: Int { entries.count }

    /// Adds a piece; false, and no change, when it is there already.
    mutating func insert(_ piece: ArraySlice<UInt8>, id: Int32) -> Bool {
        let hash = Self.hash(piece)
        let slot = self.slot(of: piece, hash)
        guard slots[slot] == 0 else { return false }
        entries.append(Entry(start: bytes.count, count: Int32(piece.count), id: id))
        bytes.append(contentsOf: piece)
        slots[slot] = Self.mark(hash, entries.count)
        if entries.count * 2 > slots.count { grow() }
        return true
    }

    func id(of piece: ArraySlice<UInt8>) -> Int32? {
        let slot = slots[slot(of: piece, Self.hash(piece))]
        return slot == 0 ? nil : entries[Self.position(slot)].id
    }

    /// Calls `body` with every piece and its id, in the order in which they were added.
    func forEach(_ body: (ArraySlice<UInt8>, Int32) -> Void) {
        for entry in entries { body(piece(entry), entry.id) }
    }

    private func piece(_ entry: Entry) -> ArraySlice<UInt8> { bytes[entry.start..<entry.start + Int(entry.count)] }

    /// The slot that holds the piece, or the free one where it would go.
    private func slot(of piece: ArraySlice<UInt8>, _ hash: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            if slots[slot] >> 32 == hash >> 32, self.piece(entries[Self.position(slots[slot])]) == piece { break }
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }

    private mutating func grow() {
        slots = [UInt64](repeating: 0, count: slots.count * 2)
        for (position, entry) in entries.enumerated() {
            let hash = Self.hash(piece(entry))
            slots[slot(of: piece(entry), hash)] = Self.mark(hash, position + 1)
        }
    }

    private static func mark(_ hash: UInt64, _ number: Int) -> UInt64 { hash & 0xFFFF_FFFF_0000_0000 | UInt64(UInt32(number)) }
    private static func position(_ slot: UInt64) -> Int { Int(slot & 0xFFFF_FFFF) - 1 }

    /// Swift's seeded hash, so that no file can be made whose pieces all collide; fed eight bytes at a time.
    private static func hash(_ piece: ArraySlice<UInt8>) -> UInt64 {
        var hasher = Hasher()
        var word: UInt64 = 0
        var filled = 0
        for byte in piece {
            word = word << 8 | UInt64(byte)
            filled += 1
            if filled % 8 == 0 { hasher.combine(word) }
        }
        hasher.combine(word)
        hasher.combine(filled)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}

import Glibc

/// A block of memory without an owner: what `Memory` gives and takes.
@safe struct MemoryBlock: @unchecked Sendable {
    @unsafe let address: UnsafeMutableRawPointer
    /// Bytes that may be used: what was asked for, in whole pages where the block is mapped.
    let byteCount: Int
    /// Whether it is pages of its own, and not a part of the C library's heap.
    var isMapped: Bool { byteCount >= Self.leastMapped }

    /// Smaller ones are the C library's, which keeps them itself.
    private static let leastMapped = 64 << 10
    /// Cache lines and the widest vectors are 64 bytes.
    private static let alignment = 64
    private static let page = 4 << 10
    /// From here on memory is asked for in huge pages: a thousandth of the page faults.
    private static let leastHuge = 4 << 20
    private static let hugePage = 2 << 20

    /// Bytes of the block for so many: whole pages where it is mapped. Nil where no system has so many.
    static func size(for byteCount: Int) -> Int? {
        guard byteCount >= leastMapped else { return byteCount }
        return byteCount < Int.max - hugePage - page ? (byteCount + page - 1) / page * page : nil
    }

    /// Fresh memory of unknown content, of a size for it; nil where the system refuses.
    init?(fresh byteCount: Int) {
        self.byteCount = byteCount
        guard byteCount >= Self.leastMapped else {
            var pointer: UnsafeMutableRawPointer?
            guard unsafe posix_memalign(&pointer, Self.alignment, max(byteCount, Self.alignment)) == 0, let pointer = unsafe pointer else { return nil }
            unsafe address = unsafe pointer
            return
        }
        // Huge pages want their own alignment: what lies before and behind it is given back.
        let margin = byteCount >= Self.leastHuge ? Self.hugePage : 0
        guard let place = unsafe mmap(nil, byteCount + margin, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), unsafe place != MAP_FAILED else {
            return nil
        }
        var before = 0
        if margin > 0 {
            before = (margin - Int(bitPattern: place) % margin) % margin
            if before > 0 { unsafe munmap(place, before) }
            if before < margin { unsafe munmap(place + before + byteCount, margin - before) }
            // Advice only: where the system has no huge pages, nothing is lost.
            unsafe madvise(place + before, byteCount / Self.hugePage * Self.hugePage, MADV_HUGEPAGE)
        }
        unsafe address = unsafe place + before
    }

    /// Gives the memory back to the system.
    func release() {
        if isMapped { unsafe munmap(address, byteCount) } else { unsafe Glibc.free(address) }
    }
}

/// Mapped blocks that nobody uses, the oldest first.
struct IdleBlocks: Sendable {
    private var blocks: [MemoryBlock] = []
    private(set) var byteCount = 0

    mutating func add(_ block: MemoryBlock) {
        blocks.append(block)
        byteCount += block.byteCount
    }

    /// The smallest block that serves, if it is not much too large: a quarter. Of equal ones the newest, which may still be in a cache.
    mutating func take(_ wanted: Int) -> MemoryBlock? {
        var best: Int?
        for (index, block) in blocks.enumerated() where block.byteCount >= wanted && block.byteCount - wanted <= wanted / 4 {
            if let known = best, blocks[known].byteCount < block.byteCount { continue }
            best = index
        }
        guard let best else { return nil }
        byteCount -= blocks[best].byteCount
        return blocks.remove(at: best)
    }

    /// Takes blocks out, the oldest first, until at most so many bytes are left.
    mutating func trim(to most: Int) -> [MemoryBlock] {
        var count = 0
        while byteCount > max(0, most) {
            byteCount -= blocks[count].byteCount
            count += 1
        }
        defer { blocks.removeFirst(count) }
        return Array(blocks[..<count])
    }
}

import Glibc

/// A block of memory without an owner: what `Memory` gives and takes.
@safe struct MemoryBlock: @unchecked Sendable {
    @unsafe let address: UnsafeMutableRawPointer
    /// Bytes that may be used: what was asked for, in whole pages where the block is mapped.
    let byteCount: Int
    /// Whether it is pages of its own, and not a part of the C library's heap.
    var isMapped: Bool { byteCount >= Self.leastMapped }

    /// Smaller ones are the C library's, which keeps them itself.
    static let leastMapped = 64 << 10
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

    private init(at address: UnsafeMutableRawPointer, _ byteCount: Int) {
        unsafe self.address = unsafe address
        self.byteCount = byteCount
    }

    /// The first `byteCount` bytes of a mapped block, in whole pages, and what is left of it; all of it where the rest would be no block.
    func divided(after byteCount: Int) -> (first: MemoryBlock, rest: MemoryBlock?) {
        guard let size = Self.size(for: max(byteCount, Self.leastMapped)), size <= self.byteCount - Self.leastMapped else { return (self, nil) }
        return unsafe (MemoryBlock(at: address, size), MemoryBlock(at: address + size, self.byteCount - size))
    }

    /// Both blocks in one, where the other begins at this one's end.
    func joined(with next: MemoryBlock) -> MemoryBlock? {
        unsafe address + byteCount == next.address ? MemoryBlock(at: address, byteCount + next.byteCount) : nil
    }

    /// Gives the memory back to the system.
    func release() {
        if isMapped { unsafe munmap(address, byteCount) } else { unsafe Glibc.free(address) }
    }
}

/// Mapped blocks that nobody uses, the oldest first. Neighbours are one block.
struct IdleBlocks: Sendable {
    private var blocks: [MemoryBlock] = []
    private(set) var byteCount = 0

    mutating func add(_ block: MemoryBlock) {
        byteCount += block.byteCount
        var block = block
        for index in blocks.indices.reversed() {
            guard let joined = block.joined(with: blocks[index]) ?? blocks[index].joined(with: block) else { continue }
            block = joined
            blocks.remove(at: index)
        }
        blocks.append(block)
    }

    /// As much as is wanted of the smallest block that has it. Of equal ones the newest, which may still be in a cache.
    mutating func take(_ wanted: Int) -> MemoryBlock? {
        guard wanted >= MemoryBlock.leastMapped else { return nil }
        var best: Int?
        for (index, block) in blocks.enumerated() where block.byteCount >= wanted {
            if let known = best, blocks[known].byteCount < block.byteCount { continue }
            best = index
        }
        return best.map { take(wanted, from: $0) }
    }

    private mutating func take(_ wanted: Int, from index: Int) -> MemoryBlock {
        let (block, rest) = blocks[index].divided(after: wanted)
        if let rest { blocks[index] = rest } else { blocks.remove(at: index) }
        byteCount -= block.byteCount
        return block
    }

    /// Takes blocks out, the oldest first, until at most so many bytes are left.
    mutating func trim(to most: Int) -> [MemoryBlock] {
        var result: [MemoryBlock] = []
        while byteCount > max(0, most) { result.append(take(byteCount - max(0, most), from: 0)) }
        return result
    }
}

import Files
import Tensors
import TestKit
import Testing

@testable import PackedFiles

/// Digests of streams that threads share.
@Suite struct OrderedDigestTests {
    private static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SplitMix64(seed: seed)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    /// Many streams on few and on many threads, their parts interleaved, with lone ones hashed at once, left alone for a while and never as long as
    /// nobody asks: each digest is its own bytes', and no more bytes wait than may.
    @Test(arguments: [1, 2, 5], [(0, Int.max), (0, 0), (400_000, 400_000), (200_000, 1 << 20), (Int.max, Int.max)])
    func streamsKeepTheirOrder(threads: Int, limits: (patience: Int, room: Int)) throws {
        let pool = WorkPool(threads: threads)
        let streams = HashingStreams(pool, patience: limits.patience, room: limits.room)
        var random = SplitMix64(seed: 11)
        let digests = (0..<5).map { _ in OrderedDigest(streams) }
        var contents: [[UInt8]] = Array(repeating: [], count: digests.count)
        for _ in 0..<200 {
            let index = Int.random(in: 0..<digests.count, using: &random)
            let bytes = Self.bytes(Int.random(in: 0...300_000, using: &random) % (random.next() % 3 == 0 ? 300_001 : 1000), seed: random.next())
            let buffer = try Buffer(byteCount: bytes.count + 7)
            unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[7...]).copyBytes(from: bytes)
            digests[index].append(buffer, 7..<7 + bytes.count)
            #expect(streams.waitingByteCount <= limits.room)
            contents[index] += bytes
        }
        for (index, digest) in digests.enumerated() { #expect(digest.digest() == SHA256Stream.digest(contents[index])) }
        #expect(streams.waitingByteCount == 0)
        #expect(OrderedDigest(streams).digest() == SHA256Stream.digest([]))
    }

    @Test("a lone stream is left alone while little waits, and hashed when it is asked for or joined") func patience() throws {
        let streams = HashingStreams(WorkPool(threads: 2), patience: 1000, room: 2000)
        let (first, second) = (OrderedDigest(streams), OrderedDigest(streams))
        first.append(try Buffer(byteCount: 1000), 0..<1000)
        #expect(streams.waitingByteCount == 1000)
        #expect(first.digest() == SHA256Stream.digest([UInt8](repeating: 0, count: 1000)))
        #expect(streams.waitingByteCount == 0)
        second.append(try Buffer(byteCount: 600), 0..<600)
        #expect(streams.waitingByteCount == 600)
        first.append(try Buffer(byteCount: 600), 0..<600)
        #expect(second.digest() == SHA256Stream.digest([UInt8](repeating: 0, count: 600)))
        #expect(first.digest() == SHA256Stream.digest([UInt8](repeating: 0, count: 1600)))
    }
}

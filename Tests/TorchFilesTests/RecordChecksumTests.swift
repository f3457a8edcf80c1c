import Files
import TestKit
import Testing

@testable import TorchFiles

/// Checksums of records from pieces in any order.
struct RecordChecksumTests {
    private let bytes: [UInt8]
    private let checksum: UInt32

    init() {
        var random = SplitMix64(seed: 11)
        bytes = (0..<5000).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        checksum = CRC32.hash(bytes)
    }

    private func record(_ checksum: UInt32) -> RecordChecksum {
        RecordChecksum(ZipEntry(name: "m/data/0", checksum: checksum, byteCount: UInt64(bytes.count), headerOffset: 0, offset: 0, end: 0))
    }

    private func add(_ range: Range<Int>, to record: RecordChecksum) throws(TorchFileError) {
        let part = Array(bytes[range])
        var failure: TorchFileError?
        unsafe part.withUnsafeBytes { buffer in
            do throws(TorchFileError) { unsafe try record.add(UInt64(range.lowerBound)..<UInt64(range.upperBound), buffer, path: "p") } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    @Test("in any order, with pieces that come again or overlap") func anyOrder() throws {
        var random = SplitMix64(seed: 12)
        for _ in 0..<50 {
            var cuts = Set([0, bytes.count])
            while cuts.count < 12 { cuts.insert(Int.random(in: 0...bytes.count, using: &random)) }
            let sorted = cuts.sorted()
            var ranges = zip(sorted, sorted.dropFirst()).map { $0..<$1 }
            ranges.shuffle(using: &random)
            let (right, wrong) = (record(checksum), record(checksum ^ 1))
            for (number, range) in ranges.enumerated() {
                try add(range, to: right)
                try add(range, to: right)
                guard number + 1 < ranges.count else {
                    #expect(throws: TorchFileError.checksum(path: "p", entry: "m/data/0", expected: checksum ^ 1, found: checksum)) {
                        try add(range, to: wrong)
                    }
                    break
                }
                try add(range, to: wrong)
                // Half of a piece that was there.
                try add(range.lowerBound..<(range.lowerBound + range.upperBound + 1) / 2, to: wrong)
            }
            #expect(throws: TorchFileError.self) { try add(0..<1, to: wrong) }
            try add(0..<bytes.count, to: right)
        }
    }

    @Test("a byte that changed is found once all have been read") func damage() throws {
        let fixture = try TorchFixture()
        var zip = TorchFixture.archive(PickleText.weights())
        let honest = zip.bytes
        guard let place = honest.firstRange(of: TorchFixture.six)?.lowerBound else {
            Issue.record("the archive does not have its elements")
            return
        }
        var damaged = honest
        damaged[place + 5] ^= 0x10
        let file = try fixture.open(damaged)
        let tensor = try #require(file.container("")?.tensors.first)
        for piece in [100, 4, 1] {
            #expect { try file.bytes(tensor, piece: piece) } throws: { error in
                guard case TorchFileError.checksum(_, "model/data/0", _, _) = error else { return false }
                return "\(error)".contains("damaged, fetch it again")
            }
        }
        // Without any checksums nothing can be said.
        for index in zip.entries.indices { zip.entries[index].checksum = 0 }
        let silent = try fixture.open(zip.bytes)
        #expect(try silent.bytes(try #require(silent.container("")?.tensors.first)) == TorchFixture.six)
    }
}

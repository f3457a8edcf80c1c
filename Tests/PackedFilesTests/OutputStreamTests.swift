import Files
import Glibc
import TestKit
import Testing

@testable import PackedFiles

/// What goes through the stream is what the file holds, by which way ever it got there.
@Suite struct OutputStreamTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The bytes 0, 1, 2, ... of a sequence without a short period.
    private static func bytes(_ range: Range<Int>) -> [UInt8] { range.map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) } }

    /// Pieces that end anywhere, some larger than a block, up to just before, at and behind the end of a block; then more behind the flush.
    @Test(arguments: [0, 1, OutputStream.blockByteCount - 1, OutputStream.blockByteCount, 5 * OutputStream.blockByteCount + 4097])
    func bytesArriveInOrder(count: Int) throws {
        var random = SplitMix64(seed: UInt64(count))
        let path = folder.file("out")
        let file = try OutputFile(path: path, replace: false)
        let stream = OutputStream(file)
        var done = 0
        while done < count {
            let end = min(count, done + (random.next() % 4 == 0 ? Int.random(in: 0...5_000_000, using: &random) : Int.random(in: 0...70_000, using: &random)))
            try stream.write(Self.bytes(done..<end))
            done = end
            #expect(stream.position == UInt64(done))
        }
        try stream.flush()
        #expect(try InputFile(path: file.readablePath).contents(limit: 1 << 30) == Self.bytes(0..<count))
        try stream.pad(to: 4096)
        let padded = (count + 4095) / 4096 * 4096
        #expect(stream.position == UInt64(padded))
        try stream.write([7, 8, 9])
        try stream.flush()
        try file.commit()
        #expect(try InputFile(path: path).contents(limit: 1 << 30) == Self.bytes(0..<count) + [UInt8](repeating: 0, count: padded - count) + [7, 8, 9])
    }

    @Test("a stream that is given up while blocks are on their way leaves nothing") func abandoned() throws {
        do {
            let stream = OutputStream(try OutputFile(path: folder.file("out"), replace: false))
            try stream.write([UInt8](repeating: 1, count: 3 * OutputStream.blockByteCount))
        }
        #expect(try Paths.entries(of: folder.path).isEmpty)
    }

    @Test("a block that the disk refuses is an error, at the latest when all is to be there") func full() async {
        // As in the tests of OutputFile, a limit on file sizes stands in for the full disk, in a process of its own.
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            signal(SIGXFSZ, SIG_IGN)
            let block = OutputStream.blockByteCount
            var limit = rlimit(rlim_cur: rlim_t(3 * block / 2), rlim_max: rlim_t(3 * block / 2))
            guard unsafe setrlimit(__rlimit_resource_t(1), &limit) == 0 else { fatalError("no limit") }
            let path = folder.file("out")
            for blocks in [2, 9] {
                let stream = OutputStream(try OutputFile(path: path, replace: false))
                #expect(throws: PackedFileError.file(.system(operation: "write", path: path, code: EFBIG))) {
                    for _ in 0..<blocks { try stream.write([UInt8](repeating: 1, count: block)) }
                    try stream.flush()
                }
            }
            #expect(try Paths.entries(of: folder.path).isEmpty)
        }
    }
}

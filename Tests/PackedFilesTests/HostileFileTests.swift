import StrictJSON
import TestKit
import Testing

@testable import PackedFiles

@Suite struct HostileFileTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func failure(_ bytes: [UInt8]) throws -> PackedFileFailure? {
        let path = folder.file("hostile.sprint")
        try write(bytes, to: path)
        return HostileFiles.failure(of: path)
    }

    @Test("The file that all of these are made from is good")
    func base() throws { #expect(try failure(HostileFiles.base().bytes) == nil) }

    @Test("Each failure has a file that causes it", arguments: PackedFileFailure.allCases.filter { !HostileFiles.notFromFiles.contains($0) })
    func each(expected: PackedFileFailure) throws { #expect(try failure(HostileFiles.file(for: expected)) == expected) }

    @Test("Every truncation is refused")
    func truncations() throws {
        let bytes = try HostileFiles.base().bytes
        for count in Array(0...200) + stride(from: 201, to: bytes.count, by: 37) + [bytes.count - 1] {
            #expect(try failure(Array(bytes[..<count])) == (count < 8 ? .notPackedFile : .fileLength), "\(count) bytes")
        }
    }

    @Test(
        "Numbers in the header that lie",
        arguments: [
            (UInt64(0), 32, 8, PackedFileFailure.directoryChecksum), (.max, 32, 8, .sectionPlacement), (.max - 100, 32, 8, .sectionPlacement),
            (1 << 63, 32, 8, .sectionPlacement), (.max, 24, 8, .fileLength), (0, 40, 4, .headerField), (0xFFFF_FFFF, 40, 4, .headerField),
            (0, 44, 4, .headerField), (1, 12, 4, .headerField), (2, 12, 4, .headerField), (64, 56, 8, .sectionPlacement), (5, 112, 8, .headerField),
            (0, 20, 4, .headerField),
        ])
    func headerNumbers(value: UInt64, offset: Int, count: Int, expected: PackedFileFailure) throws {
        let found = try failure(HostileFiles.base().header(value, at: offset, count: count))
        // An attachment directory of no bytes at 64 fails by its checksum first.
        #expect(found == expected || offset == 56 && found == .directoryChecksum)
    }

    @Test("Higher minor versions, optional flags and members that are not known are accepted")
    func newerMinor() throws {
        var surgeon = try HostileFiles.base()
        surgeon.set(9, at: 10, count: 2)
        #expect(try failure(surgeon.header(0x8000_0001, at: 16, count: 4)) == nil)
        #expect(try failure(HostileFiles.base().member("tensors/0/hadamard", ["size": 64])) == nil)
    }

    static let lies: [(String, JSONValue, PackedFileFailure)] = [
        ("tensors/0/planes/0/frames/0/0", 0, .frameSizes),
        ("tensors/0/planes/0/frames/0/0", -1, .frameSizes), ("tensors/0/planes/0/frames/0/0", 9_223_372_036_854_775_807, .frameSizes),
        ("tensors/0/planes/0/frames/0/1", 4, .frameSizes), ("tensors/0/planes/0/frames/0/1", 0, .frameSizes),
        ("tensors/0/planes/0/frames/0/1", 1_048_577, .frameSizes), ("tensors/0/planes/0/frames/0/1", .number(8.5), .directoryMember),
        ("tensors/0/planes/0/frames/0/2", "0000", .directoryMember), ("tensors/0/planes/0/frames/0/2", "000000000000000G", .directoryMember),
        ("tensors/0/planes/0/frames", [], .frameSizes), ("tensors/0/planes/0/offset", -64, .directoryMember),
        ("tensors/0/planes/0/offset", 9_223_372_036_854_775_807, .sectionPlacement), ("tensors/0/planes/0/offset", 129, .sectionPlacement),
        ("tensors/0/planes/0/sha256", "00", .directoryMember), ("tensors/0/planes/0/name", "codes", .planeMismatch),
        ("tensors/0/planes/0/dtype", "U8", .planeMismatch), ("tensors/0/planes/0/shape", [4, 2], .planeMismatch),
        ("tensors/0/planes", [], .planeMismatch), ("tensors/0/shape", [0, 4], .invalidShape), ("tensors/0/shape", [-2, -4], .invalidShape),
        ("tensors/0/shape", [1, 1, 1, 1, 1, 1, 1, 2, 4], .invalidShape), ("tensors/0/shape", "8", .directoryMember),
        ("tensors/0/shape", [2, 5], .planeMismatch), ("tensors/0/scheme", "f32", .planeMismatch), ("tensors/0/name", "", .invalidName),
        ("tensors/0/name", "a\nb", .invalidName), ("tensors/0/nonfinite", 0, .directoryMember), ("tensors/0/nonfinite", -1, .directoryMember),
        ("tensors/1/nonfinite", 1, .planeValues), ("tensors/0/error/maxAbs", .number(-1), .directoryMember), ("tensors/0/error", [], .directoryMember),
        ("tensors/0/sources/0/dtype", "F4", .unknownDType), ("tensors/0/sources/0/sha256", 5, .directoryMember), ("tensors/0", [], .directoryMember),
        ("tensors", [:], .directoryMember), ("blobs/0/name", "/etc/passwd", .invalidName), ("blobs/0/name", "a/../../b", .invalidName),
        ("components/0/configuration", "vae/config.json", .directoryMember), ("components/1/name", "transformer", .duplicateName),
        ("tensors/0/sources/0/additions", 5, .directoryMember), ("tensors/0/sources/0/additions", [5], .directoryMember),
        ("tensors/0/sources/0/additions", [["factor": "1", "up": "b"]], .directoryMember), ("tensors/0/sources/0/additions", [["factor": 1]], .directoryMember),
        ("tensors/0/sources/0/additions", [["factor": 1, "up": "b\n"]], .invalidName),
        ("tensors/0/sources/0/additions", [["down": 1, "factor": 1, "up": "b"]], .directoryMember),
        ("tensors/0/sources/0/additions", .array(Array(repeating: ["factor": 1, "up": "b"], count: 65)), .countLimit),
        ("sources/0/sha256", "00", .directoryMember), ("sources/0/weight", "1", .directoryMember),
        ("policy", "none", .directoryMember), ("blobs", [], .directoryMember), ("zstd", .null, .directoryMember),
    ]

    @Test("Members that lie", arguments: lies)
    func members(path: String, value: JSONValue, expected: PackedFileFailure) throws {
        #expect(try failure(HostileFiles.base().member(path, value)) == expected)
    }

    @Test("Nesting, and numbers in other spellings")
    func text() throws {
        let base = try HostileFiles.base()
        let deep = String(repeating: "[", count: 20_000)
        #expect(try failure(base.directory(Array(deep.utf8))) == .directorySyntax)
        let respelled = String(decoding: base.directoryText, as: UTF8.self).replacing("\"shape\":[2,4]", with: "\"shape\":[2.0,4]")
        #expect(try failure(base.directory(Array(respelled.utf8))) == .invalidShape)
        #expect(try failure(base.directory(Array(respelled.replacing("2.0", with: "2e0").utf8))) == .directoryNotCanonical)
        #expect(try failure(base.directory([])) == .headerField)
        #expect(try failure(base.directory([0xFF])) == .directorySyntax)
    }

    @Test("More values than a directory of its length may have, and a blob that no memory should be asked for")
    func amounts() throws {
        let base = try HostileFiles.base()
        func zeros(_ count: Int) -> [UInt8] { Array(("{\"blobs\":[" + repeatElement("0", count: count).joined(separator: ",") + "]}").utf8) }
        #expect(try failure(base.directory(zeros(65_534))) == .directoryMember)
        #expect(try failure(base.directory(zeros(65_535))) == .countLimit)
        #expect(Limits.directoryValues(byteCount: 1 << 20) == 1 << 17)
        let frame: JSONValue = [1_048_576, 1_048_576, "0000000000000000"]
        func frames(_ count: Int) -> JSONValue { .array(Array(repeating: frame, count: count)) }
        #expect(try failure(base.member("blobs/0/frames", frames(64))) == .sectionPlacement)
        #expect(try failure(base.member("blobs/0/frames", frames(65))) == .countLimit)
    }

    /// The longest directory of the values that take the most memory for their length, in a process that may have 640 MiB for it.
    @Test func aDirectoryOfManyValuesIsRefusedInLittleMemory() async {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            let path = folder.file("hostile.sprint")
            do {
                let unit = Array("[0],".utf8)
                var text = Array("{\"blobs\":[".utf8)
                text.reserveCapacity(Limits.directoryBytes)
                while text.count < Limits.directoryBytes - 16 { text += unit }
                text.removeLast()
                try write(HostileFiles.base().directory(text + Array("]}".utf8)), to: path)
            }
            try limitAddressSpace(toMore: 640 << 20)
            precondition(HostileFiles.failure(of: path) == .countLimit)
        }
    }

    @Test("A tensor that is left out leaves bytes that nobody accounts for")
    func hole() throws { #expect(try failure(HostileFiles.base().member("tensors/1", nil)) == .sectionPlacement) }
}

import Files
import Tensors
import TestKit
import Testing

@testable import PackedFiles

@Suite struct IntegrityTests {
    @Test("Every byte behind the header is watched: a flip anywhere is found, and named")
    func everyByte() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("a.sprint")
        try Samples.write(Samples.mixed(), to: path, attachments: [(name: "certificate", bytes: [1, 2, 3])])
        let good = try contents(path)
        for index in stride(from: 0, to: good.count, by: 3) {
            var bytes = good
            bytes[index] ^= 1 << UInt8(index % 8)
            try write(bytes, to: path)
            let failure = HostileFiles.failure(of: path)
            #expect(failure != nil, "byte \(index)")
        }
    }

    @Test("All damaged tensors are named, with plane and frame, and reading one gives the same error")
    func allFindings() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("a.sprint")
        let values = Samples.weights(600_000, seed: 4)
        try Samples.write(
            [
                SampleTensor("first", .f32, [600_000], values), SampleTensor("second", .int8PerChannel, [3, 200_000], values),
                SampleTensor("third", .bf16, [4], [1, 2, 3, 4]),
            ],
            to: path)
        var bytes = try contents(path)
        let file = try PackedFile.open(path)
        func damage(_ tensor: String, _ plane: Int, frame: Int) throws {
            let section = try #require(file.entry(tensor)).planes[plane].section
            let offset = section.frames[..<frame].reduce(section.offset) { $0 + UInt64($1.storedByteCount) }
            bytes[Int(offset) + section.frames[frame].storedByteCount / 2] ^= 0x10
        }
        try damage("first", 0, frame: 0)
        try damage("first", 0, frame: 2)
        try damage("second", 1, frame: 0)
        try write(bytes, to: path)
        let damaged = try PackedFile.open(path)
        var last: (UInt64, UInt64) = (0, 1)
        let findings = damaged.verifyIntegrity { last = ($0, $1) }
        #expect(last == (UInt64(bytes.count), UInt64(bytes.count)))
        #expect(findings.map(\.tensor) == ["first", "first", "second"])
        #expect(findings.map(\.plane) == ["values", "values", "scales"])
        #expect(findings.map(\.frame) == [0, 2, 0])
        #expect(findings.allSatisfy { $0.error.failure == .frameChecksum })
        let error = #expect(throws: PackedFileError.self) { try damaged.planes(of: #require(damaged.entry("first"))) }
        #expect(error == findings[0].error)
        #expect(throws: Never.self) { try damaged.planes(of: #require(damaged.entry("third"))) }
    }

    @Test("A file that is cut short after opening gives an error, not a crash")
    func shrinks() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("a.sprint")
        try Samples.write(Samples.mixed(), to: path)
        let file = try PackedFile.open(path)
        try truncate(path, to: 200)
        #expect(throws: PackedFileError.self) { try file.planes(of: #require(file.entry("split"))) }
        #expect(file.verifyIntegrity().isEmpty == false)
    }
}

import Files
import Tensors
import TestKit
import Testing

@testable import PackedFiles

/// Formats/vectors: what every reader must read, and what every reader must refuse.
@Suite struct VectorTests {
    static let failures = PackedFileFailure.allCases.filter { !HostileFiles.notFromFiles.contains($0) }

    init() throws {
        if environment("SPRINTPACK_WRITE_VECTORS") != nil { try Vectors.rewritten.get() }
    }

    @Test("A valid vector opens, verifies and decodes to what is written next to it", arguments: Vectors.valid)
    func valid(name: String) throws {
        let file = try PackedFile.open(Vectors.path(valid: name))
        #expect(file.verifyIntegrity() == [])
        #expect(try Vectors.description(of: file.path) == contents("\(Vectors.folder)/valid/\(name).json"))
        #expect(file.header.totalByteCount <= 4096)
    }

    @Test("An invalid vector is refused for the reason in its name", arguments: failures)
    func invalid(failure: PackedFileFailure) { #expect(HostileFiles.failure(of: Vectors.path(invalid: failure)) == failure) }

    @Test("The folders hold these vectors and nothing else")
    func folders() throws {
        #expect(try Set(Paths.entries(of: "\(Vectors.folder)/valid")) == Set(Vectors.valid.flatMap { ["\($0).sprint", "\($0).json"] }))
        #expect(try Set(Paths.entries(of: "\(Vectors.folder)/invalid")) == Set(Self.failures.map { "\($0.rawValue).sprint" }))
    }

    @Test("Each feature is in the vector that is named after it")
    func features() throws {
        func section(_ name: String) throws -> Section { try PackedFile.open(Vectors.path(valid: name)).directory.tensors[0].planes[0].section }
        #expect(try section("f32").codec == .raw && section("codec-zstd").codec == .zstd && section("codec-zstd-split16").codec == .zstdSplit16)
        #expect(try section("frames").frames.count == 2)
        #expect(try PackedFile.open(Vectors.path(valid: "compressed-directory")).header.mustUnderstand == .compressedDirectory)
        #expect(try PackedFile.open(Vectors.path(valid: "newer-minor-version")).header.minor == 7)
    }

    @Test("The code still writes the committed bytes", .enabled(if: Samples.directory().zstd == Vectors.zstdVersion, "made by zstd \(Vectors.zstdVersion)"))
    func reproducible() throws {
        for name in Vectors.valid { #expect(try Vectors.bytes(valid: name) == contents(Vectors.path(valid: name)), "\(name)") }
        for failure in Self.failures { #expect(try HostileFiles.file(for: failure) == contents(Vectors.path(invalid: failure)), "\(failure)") }
    }

    @Test(
        "The second reader agrees on every vector",
        .enabled(if: SecondReader.isAvailable, "needs a python3 with zstandard and xxhash; SPRINTPACK_PYTHON names another one"))
    func secondReader() throws {
        for name in Vectors.valid {
            let path = Vectors.path(valid: name)
            let decoded = try SecondReader.run("decode", path)
            #expect(try decoded.status == 0 && decoded.bytes == contents("\(Vectors.folder)/valid/\(name).json"), "\(name)")
        }
        for scheme in SchemeList.builtIn.schemes {
            let path = Vectors.path(valid: scheme.name)
            let file = try PackedFile.open(path)
            let entry = try #require(file.directory.tensors.first)
            let expected = try EncodedTensor(entry.scheme.decode(file.planes(of: entry), shape: entry.shape)).array
            let tensor = try SecondReader.run("decode", path, entry.name)
            #expect(tensor.status == 0 && tensor.bytes == expected, "\(scheme)")
        }
        let list = try SecondReader.run("list", Vectors.path(valid: "f32"))
        #expect(list.status == 0 && list.output == "matrix f32 [4, 4] values:raw\nscalar f32 [] values:raw\n")
        let damage: Set<PackedFileFailure> = [.frameChecksum, .frameContent, .planeHash, .planeValues, .padding]
        for failure in Self.failures {
            let result = try SecondReader.run("verify", Vectors.path(invalid: failure))
            #expect(result.status == (damage.contains(failure) ? 1 : 2), "\(failure): \(result.errors)")
            #expect((result.output + result.errors).contains("'\(failure.rawValue)'"), "\(result.output) \(result.errors)")
        }
    }
}

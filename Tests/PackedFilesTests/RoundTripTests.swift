import Files
import Tensors
import TestKit
import Testing

@testable import PackedFiles

@Suite struct RoundTripTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test("Everything that goes in comes out: planes, descriptions, provenance, blobs, attachments")
    func everything() throws {
        let path = folder.file("a.sprint")
        let tensors = try Samples.mixed()
        let summary = try Samples.write(
            tensors, to: path, blobs: [("tokenizer/empty.txt", []), ("tokenizer/e\u{301}.txt", [1, 2, 3])], attachments: [("certificate.json", [9, 8])])
        let file = try PackedFile.open(path)
        #expect(file.verifyIntegrity() == [])
        #expect(file.directory == summary.directory && file.contentHash == summary.contentHash)
        #expect(file.header.totalByteCount == summary.totalByteCount)
        #expect(file.directory.tensors.count == tensors.count)
        for tensor in tensors {
            let entry = try #require(file.entry(tensor.description.name))
            #expect(entry.description == tensor.description && entry.sources == tensor.sources && entry.error == tensor.error)
            let planes = try file.planes(of: entry)
            #expect(planes.map(\.array) == tensor.planes.map(\.array))
            #expect(planes.map(\.dtype) == tensor.planes.map(\.dtype) && planes.map(\.shape) == tensor.planes.map(\.shape))
        }
        #expect(try file.blob("transformer/config.json") == Samples.configuration)
        #expect(try file.blob("tokenizer/empty.txt") == [])
        #expect(try file.blob("tokenizer/e\u{301}.txt") == [1, 2, 3])
        #expect(try file.attachment("certificate.json") == [9, 8])
    }

    @Test("Names are compared by their bytes")
    func exactNames() throws {
        let path = folder.file("a.sprint")
        try Samples.write([SampleTensor("e\u{301}", .f32, [1], [1]), SampleTensor("\u{E9}", .f32, [1], [2])], to: path)
        let file = try PackedFile.open(path)
        let entry = try #require(file.entry("\u{E9}"))
        #expect(try Scheme.f32.decode(file.planes(of: entry), shape: [1]).elements == [2])
        #expect(file.entry("E\u{301}") == nil)
        #expect(throws: PackedFileError.self) { try file.blob("transformer/Config.json") }
    }

    @Test("Large tensors: many frames, each codec, any run of rows, any number of threads, the same bytes")
    func streaming() async throws {
        let source = try Self.streamed()
        let runs = [(1, 600), (5, 133)]
        for (threads, step) in runs {
            // A process has one number of threads.
            await #expect(processExitsWith: .success) { [threads = threads as Int, step = step as Int, path = folder.path as String] in
                Parallel.use(threads: threads)
                let source = try Self.streamed()
                for (scheme, _) in Self.streams { try Self.write(source, scheme, rowsAtOnce: step, to: "\(path)/\(scheme).\(step)") }
            }
        }
        for (scheme, codec) in Self.streams {
            let planes = try scheme.encode(source, subject: "w")
            let description = Self.description(scheme, source)
            let whole = folder.file("whole.sprint")
            try Samples.write([SampleTensor(description, planes: planes)], to: whole)
            let expected = try contents(whole)
            let file = try PackedFile.open(whole)
            let section = file.directory.tensors[0].planes[0].section
            #expect(section.codec == codec && section.frames.count == (planes[0].array.count + Limits.frameBytes - 1) / Limits.frameBytes)
            #expect(Double(section.storedByteCount) < 0.97 * Double(section.contentByteCount))
            #expect(file.verifyIntegrity() == [])
            #expect(try file.planes(of: file.directory.tensors[0]).map(\.array) == planes.map(\.array))

            for (threads, step) in runs { #expect(try contents(folder.file("\(scheme).\(step)")) == expected, "\(threads) threads, \(step) rows") }
        }
    }

    private static let streams = [(Scheme.int8PerChannel, Codec.zstd), (.bf16, .zstdSplit16), (.f16, .zstdSplit16)]

    private static func streamed() throws -> Tensor { try Tensor([600, 1800], Samples.weights(600 * 1800, seed: 1)) }

    private static func description(_ scheme: Scheme, _ source: Tensor) -> TensorDescription {
        TensorDescription(name: "w", component: "transformer", shape: source.shape, role: "linear", scheme: scheme)
    }

    /// Writes a file of one tensor, some rows after the other.
    private static func write(_ source: Tensor, _ scheme: Scheme, rowsAtOnce step: Int, to path: String) throws {
        let writer = try PackedFileWriter(output: OutputFile(path: path, kind: .packedFile, replace: true), directory: Samples.directory())
        try writer.addBlob("transformer/config.json", Samples.configuration)
        try writer.beginTensor(description(scheme, source))
        for start in stride(from: 0, to: source.rows, by: step) {
            let part = try source.rows(start..<min(source.rows, start + step))
            try writer.appendRows(scheme.encode(part, subject: "w", firstElement: start * source.columns))
        }
        try writer.endTensor()
        _ = try writer.finish()
    }

    @Test("Rows alone are those of the whole, across frames, and need no other frame")
    func someRows() throws {
        let shape: Shape = [600, 1800]
        let source = try Tensor(shape, Samples.weights(shape.elementCount, seed: 1))
        for scheme in [Scheme.int8PerChannel, .bf16, .f32] {
            let description = TensorDescription(name: "w", component: "transformer", shape: shape, role: "embedding", scheme: scheme)
            let path = folder.file("rows.sprint")
            try Samples.write([SampleTensor(description, planes: scheme.encode(source, subject: "w"))], to: path)
            let file = try PackedFile.open(path)
            let entry = file.directory.tensors[0]
            let planes = try file.planes(of: entry)
            for rows in [[0], [599], [0, 1, 2, 582, 583, 599], Array(290..<300), Array(0..<600), []] {
                let found = try file.planes(of: entry, rows: rows)
                for (whole, part) in zip(planes, found) {
                    let size = whole.shape.columns * whole.dtype.byteCount
                    #expect(part.array == rows.flatMap { Array(whole.array[$0 * size..<($0 + 1) * size]) }, "\(scheme) \(rows)")
                }
            }
            // Damage in the first frame concerns the rows in it alone.
            var bytes = try contents(path)
            bytes[Int(entry.planes[0].section.offset) + 100] ^= 1
            try OutputFile.write(bytes, to: path, kind: .anything, replace: true)
            let damaged = try PackedFile.open(path)
            #expect(throws: PackedFileError.self) { try damaged.planes(of: entry, rows: [0]) }
            #expect(try damaged.planes(of: entry, rows: [599])[0].array == file.planes(of: entry, rows: [599])[0].array)
        }
    }

    @Test("Mostly zeros are searched for repetitions, weights are not, and both come back")
    func sparse() throws {
        var values = [Float](repeating: 0, count: 300_000)
        for index in stride(from: 0, to: values.count, by: 1000) { values[index] = Float(index) }
        let path = folder.file("sparse.sprint")
        try Samples.write([SampleTensor("sparse", .bf16, [300, 1000], values)], to: path)
        let file = try PackedFile.open(path)
        let entry = file.directory.tensors[0]
        #expect(entry.planes[0].section.codec == .zstd && entry.planes[0].section.storedByteCount < 600_000 / 100)
        #expect(file.verifyIntegrity() == [])
    }

    @Test("More frames than are compressed at once keep their order")
    func batches() throws {
        let path = folder.file("a.sprint")
        let writer = try PackedFileWriter(output: OutputFile(path: path, kind: .packedFile, replace: true), directory: Samples.directory())
        try writer.addBlob("transformer/config.json", Samples.configuration)
        try writer.beginTensor(TensorDescription(name: "w", component: "transformer", shape: [20, 1 << 18], role: "table", scheme: .f32))
        for row in 0..<20 {
            var part = try Tensor([1, 1 << 18])
            var span = part.mutableSpan
            span[row] = Float(row + 1)
            try writer.appendRows(Scheme.f32.encode(part, subject: "w"))
        }
        try writer.endTensor()
        _ = try writer.finish()
        let file = try PackedFile.open(path)
        #expect(file.directory.tensors[0].planes[0].section.frames.count == 20 && file.verifyIntegrity() == [])
        let decoded = try Scheme.f32.decode(file.planes(of: file.directory.tensors[0]), shape: [20, 1 << 18])
        let span = decoded.span
        for row in 0..<20 { #expect(span[row << 18 + row] == Float(row + 1) && span[row << 18 + row + 1] == 0) }
    }

    @Test("Noise is stored raw, constants shrink")
    func codecs() throws {
        var generator = SplitMix64(seed: 9)
        let noise = try EncodedTensor(.i8, [4, 4096], (0..<16384).map { _ in UInt8(bitPattern: Int8.random(in: -127...127, using: &generator)) })
        let scales = try EncodedTensor(Tensor([4], [1, 1, 1, 1]))
        let description = TensorDescription(name: "noise", component: "transformer", shape: [4, 4096], role: "linear", scheme: .int8PerChannel)
        let ones = try SampleTensor("ones", .f16, [100, 100], [Float](repeating: 1, count: 10_000))
        let path = folder.file("a.sprint")
        try Samples.write([SampleTensor(description, planes: [noise, scales]), ones], to: path)
        let file = try PackedFile.open(path)
        #expect(file.entry("noise")?.planes[0].section.codec == .raw)
        #expect(file.entry("ones")?.planes[0].section.codec == .zstd)
        #expect(file.verifyIntegrity() == [])
    }

    @Test("NaN and infinity enter only where they are allowed, and are then expected")
    func nonfinite() throws {
        let tensor = try SampleTensor(
            TensorDescription(name: "odd", component: "transformer", shape: [3], role: "norm", scheme: .f32),
            planes: Scheme.f32.encode(Tensor([3], [1, .nan, .infinity]), subject: "odd"))
        let path = folder.file("a.sprint")
        let error = #expect(throws: PackedFileError.self) { try Samples.write([tensor], to: path) }
        #expect(error?.failure == .nonfinite && error?.description.contains("tensor odd, plane values, element 1") == true)
        #expect(!Paths.exists(path))
        try Samples.write([tensor], to: path, allowNonfinite: true)
        let file = try PackedFile.open(path)
        #expect(file.directory.tensors[0].nonfinite == 2 && file.verifyIntegrity() == [])
    }

    @Test("A writer refuses what a reader would refuse, and leaves no file")
    func refusals() throws {
        let path = folder.file("a.sprint")
        let good = try SampleTensor("w", .f32, [2], [1, 2])
        func failure(_ tensors: [SampleTensor], blobs: [(String, [UInt8])] = []) throws -> PackedFileFailure? {
            let error = #expect(throws: PackedFileError.self) { try Samples.write(tensors, to: path, blobs: blobs) }
            return error?.failure
        }
        #expect(try failure([good, good]) == .duplicateName)
        #expect(try failure([SampleTensor("", .f32, [1], [1])]) == .invalidName)
        #expect(try failure([SampleTensor(String(repeating: "n", count: 513), .f32, [1], [1])]) == .invalidName)
        #expect(try failure([SampleTensor("w", .f32, [1, 1, 1, 1, 1, 1, 1, 1, 1], [1])]) == .invalidShape)
        #expect(try failure([SampleTensor("w", .f32, [1], [1], component: "unet")]) == .unknownComponent)
        for name in ["../x", "/x", "a//b", "a/./b", "", "a/..", "a\u{0}"] { #expect(try failure([], blobs: [(name, [])]) == .invalidName, "\(name)") }
        let wrong = TensorDescription(name: "w", component: "transformer", shape: [3], role: "norm", scheme: .f32)
        #expect(try failure([SampleTensor(wrong, planes: good.planes)]) == .planeMismatch)
        let zero = TensorDescription(name: "w", component: "transformer", shape: [1, 1], role: "linear", scheme: .int8PerChannel)
        let planes = try [EncodedTensor(.i8, [1, 1], [0x80]), EncodedTensor(Tensor([1], [1]))]
        #expect(try failure([SampleTensor(zero, planes: planes)]) == .planeValues)
        #expect(!Paths.exists(path))
    }

    @Test("What adapters added is recorded, and 1.1 says so") func adapters() throws {
        let file = try PackedFile.open(Vectors.path(valid: "adapters"))
        #expect(file.header.minor == 1 && file.directory.adapters.map(\.weight) == [0.5, -1.2])
        let source = try #require(file.directory.tensors.first?.sources.first)
        #expect(source.additions.map(\.factor) == [0.75, -1.2] && source.additions.map(\.down) == ["lora/1/linear.lora_A.weight", nil])
        #expect(source.additions.flatMap(\.names) == file.directory.tensors[0].sources.dropFirst(2).map(\.name))
    }
}

import Files
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Safetensors

/// One hostile file per error of the header, each with the very error it must give.
struct HeaderParserTests {
    let folder: TemporaryFolder
    var path: String { folder.file("file.safetensors") }

    init() throws { folder = try TemporaryFolder() }

    private func expect(_ raw: RawFile, _ error: SafetensorsError, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let path = try folder.write(raw.bytes)
        #expect(throws: error, sourceLocation: sourceLocation) { try SafetensorsFile.open(path) }
    }

    private func member(_ member: String, _ expected: String, _ found: String) -> SafetensorsError {
        .member(path: path, tensor: "a", member: member, expected: expected, found: found)
    }

    @Test(arguments: [0, 1, 7, 8, 9]) func tooShort(count: Int) throws {
        let bytes = Array(RawFile("{}").bytes.prefix(count))
        let path = try folder.write(bytes)
        #expect(throws: SafetensorsError.self) { try SafetensorsFile.open(path) }
        if count < 8 { #expect(throws: SafetensorsError.tooShort(path: path, found: UInt64(count))) { try SafetensorsFile.open(path) } }
    }

    @Test("a file without tensors is one") func empty() throws {
        let file = try SafetensorsFile.open(try folder.write(RawFile("{}").bytes))
        #expect(file.header.entries.isEmpty)
        #expect(file.header.dataOffset == 10)
    }

    @Test(arguments: [3, 100, 1 << 40, 1 << 63, .max, .max - 7] as [UInt64]) func headerBeyondFile(length: UInt64) throws {
        try expect(RawFile("{}", declaredLength: length), .headerBeyondFile(path: path, headerByteCount: length, found: 10))
    }

    @Test func headerTooLarge() throws {
        var limits = SafetensorsHeader.Limits()
        limits.headerByteCount = 15
        let raw = RawFile("{}" + String(repeating: " ", count: 14))
        let path = try folder.write(raw.bytes)
        #expect(throws: SafetensorsError.headerTooLarge(path: path, limit: 15, found: 16)) { try SafetensorsFile.open(path, limits: limits) }
        limits.headerByteCount = 16
        #expect(try SafetensorsFile.open(path, limits: limits).header.entries.isEmpty)
        #expect(SafetensorsHeader.Limits().headerByteCount == 16 << 20)
    }

    @Test(arguments: ["  {}", "xx{}", "\"abc\""]) func notAnObject(header: String) throws {
        try expect(RawFile(header), .notAnObject(path: path))
    }

    @Test func headerIsNoJSON() throws {
        try expect(RawFile("{\"a\":}"), .header(path: path, .syntax(offset: 5, expected: "a value", found: "'}'")))
        try expect(RawFile("{}{}"), .header(path: path, .syntax(offset: 2, expected: "the end of the text", found: "'{'")))
        try expect(RawFile("{\"a\":[[[[[1]]]]]}"), .header(path: path, .tooDeep(limit: 4, offset: 9)))
    }

    @Test func duplicateTensor() throws {
        let entry = "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
        try expect(RawFile("{\"a\":\(entry),\"a\":\(entry)}"), .header(path: path, .duplicateKey("a", offset: 6 + entry.utf8.count)))
    }

    @Test func tooManyTensors() throws {
        var limits = SafetensorsHeader.Limits()
        limits.tensorCount = 2
        let entry = "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
        let two = try folder.write(RawFile("{\"__metadata__\":{},\"a\":\(entry),\"b\":\(entry)}").bytes)
        #expect(try SafetensorsFile.open(two, limits: limits).header.entries.count == 2)
        let three = try folder.write(RawFile("{\"a\":\(entry),\"b\":\(entry),\"c\":\(entry)}").bytes)
        #expect(throws: SafetensorsError.tooManyTensors(path: three, limit: 2)) { try SafetensorsFile.open(three, limits: limits) }
    }

    @Test("a header of a million values is refused before it fills the memory") func tooManyValues() throws {
        let raw = RawFile("{\"a\":{\"shape\":[" + String(repeating: "0,", count: 1_000_000) + "0]}}")
        let limit = 65_536 * 14
        let path = try folder.write(raw.bytes)
        #expect(throws: SafetensorsError.header(path: path, .tooManyValues(limit: limit, offset: 15 + (limit - 3) * 2))) { try SafetensorsFile.open(path) }
    }

    @Test func metadata() throws {
        let file = try SafetensorsFile.open(try folder.write(RawFile("{\"__metadata__\":{\"b\":\"1\",\"a\":\"2\"}}").bytes))
        #expect(file.header.metadata.map(\.key) == ["b", "a"])
        #expect(file.header.metadata.map(\.value) == ["1", "2"])
        try expect(RawFile("{\"__metadata__\":[]}"), .metadata(path: path, key: nil, found: "an array"))
        try expect(RawFile("{\"__metadata__\":{\"k\":1}}"), .metadata(path: path, key: "k", found: "an integer"))
    }

    @Test("names have 1 to 512 bytes") func names() throws {
        func raw(_ name: String) -> RawFile { RawFile("{\"\(name)\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", data: 1) }
        try expect(raw(""), .name(path: path, tensor: "", limit: 512))
        let long = String(repeating: "\u{E9}", count: 256)
        #expect(try SafetensorsFile.open(try folder.write(raw(long).bytes)).entry(long) != nil)
        try expect(raw(long + "x"), .name(path: path, tensor: long + "x", limit: 512))
    }

    @Test(arguments: [
        ("1", "entry", "an object", "an integer"), ("[]", "entry", "an object", "an array"), ("null", "entry", "an object", "null"),
        (#"{"shape":[],"data_offsets":[0,1]}"#, "dtype", "a string", "nothing"),
        (#"{"dtype":1,"shape":[],"data_offsets":[0,1]}"#, "dtype", "a string", "an integer"),
        (#"{"dtype":"U8","data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "nothing"),
        (#"{"dtype":"U8","shape":1,"data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "an integer"),
        (#"{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "the number -1"),
        (#"{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "the number 1.5"),
        (#"{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "the number 1.0"),
        (#"{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "the number 1.0"),
        (#"{"dtype":"U8","shape":[-0],"data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "the number -0.0"),
        (#"{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}"#, "shape", "an array of integers from 0 on", "a string"),
        (#"{"dtype":"U8","shape":[],"data_offsets":[0,18446744073709551616]}"#, "data_offsets", "two integers from 0 on", "the number 1.8446744073709552e+19"),
        (#"{"dtype":"U8","shape":[]}"#, "data_offsets", "two integers from 0 on", "nothing"),
        (#"{"dtype":"U8","shape":[],"data_offsets":[0]}"#, "data_offsets", "two integers from 0 on", "1 of them"),
        (#"{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}"#, "data_offsets", "two integers from 0 on", "3 of them"),
        (#"{"dtype":"U8","shape":[],"data_offsets":[-1,0]}"#, "data_offsets", "two integers from 0 on", "the number -1"),
        (#"{"dtype":"U8","shape":[],"data_offsets":[0,1e0]}"#, "data_offsets", "two integers from 0 on", "the number 1.0"),
        (#"{"dtype":"U8","shape":[],"data_offsets":[0,1],"strides":[1]}"#, "entry", "dtype, shape and data_offsets", "\"strides\""),
    ]) func members(entry: String, name: String, expected: String, found: String) throws {
        try expect(RawFile("{\"a\":\(entry)}", data: 1), member(name, expected, found))
    }

    @Test(arguments: ["F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64", "f32", "F128", ""]) func unsupportedType(word: String) throws
    {
        let error = SafetensorsError.unsupportedType(path: path, tensor: "a", found: word)
        try expect(RawFile("{\"a\":{\"dtype\":\"\(word)\",\"shape\":[1],\"data_offsets\":[0,1]}}", data: 1), error)
        #expect("\(error)".contains("a type of the format that is not supported here") == !["f32", "F128", ""].contains(word))
    }

    @Test(arguments: DType.allCases) func everyType(dtype: DType) throws {
        let count = 3 * dtype.byteCount
        let path = try folder.write(RawFile("{\"a\":{\"dtype\":\"\(dtype.rawValue)\",\"shape\":[3],\"data_offsets\":[0,\(count)]}}", data: count).bytes)
        let tensor = try SafetensorsFile.open(path).read("a")
        #expect(tensor.dtype == dtype)
        #expect(tensor.shape == [3])
        #expect(tensor.contents.elementsEqual((0..<count).map { UInt8($0) }))
    }

    @Test("at most eight extents") func rank() throws {
        func raw(_ rank: Int) -> RawFile {
            RawFile("{\"a\":{\"dtype\":\"U8\",\"shape\":[\(Array(repeating: "1", count: rank).joined(separator: ","))],\"data_offsets\":[0,1]}}", data: 1)
        }
        #expect(try SafetensorsFile.open(try folder.write(raw(8).bytes)).header.entries[0].shape.rank == 8)
        try expect(raw(9), .rank(path: path, tensor: "a", limit: 8, found: 9))
    }

    @Test(
        "products that pass 2^63 are errors, whatever they would wrap to",
        arguments: [
            ([1 << 32, 1 << 32], "U8"), ([.max, 2], "U8"), ([1 << 60], "F64"), ([1 << 62, 4, 0], "U8"), ([.max], "BF16"),
            ([3_037_000_500, 3_037_000_500], "U8"),
        ] as [([Int64], String)]) func shapeTooLarge(extents: [Int64], dtype: String) throws
    {
        try expect(
            RawFile("{\"a\":{\"dtype\":\"\(dtype)\",\"shape\":\(extents),\"data_offsets\":[0,0]}}"),
            .shapeTooLarge(path: path, tensor: "a", extents: extents))
    }

    @Test func reversedOffsets() throws {
        try expect(
            RawFile("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", data: 1), .reversedOffsets(path: path, tensor: "a", begin: 1, end: 0))
    }

    @Test(arguments: [("[2]", 4, 8), ("[2,2]", 15, 16), ("[]", 0, 4), ("[0]", 4, 0)] as [(String, UInt64, UInt64)])
    func sizeMismatch(shape: String, found: UInt64, expected: UInt64) throws {
        let extents = shape.filter { $0.isNumber }.compactMap { $0.wholeNumberValue }
        try expect(
            RawFile("{\"a\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[0,\(found)]}}", data: Int(found)),
            .sizeMismatch(path: path, tensor: "a", dtype: .f32, shape: Shape(extents), expected: expected, found: found))
    }

    @Test("a file that is cut off names the tensor that it cuts") func beyondFile() throws {
        let raw = RawFile("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", data: 7)
        try expect(raw, .beyondFile(path: path, tensor: "a", end: raw.dataOffset + 8, found: raw.dataOffset + 7))
    }

    @Test("offsets near 2^63 do not wrap") func hugeOffsets() throws {
        let (begin, end) = (Int64.max - 1, Int64.max)
        let raw = RawFile("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[\(begin),\(end)]}}", data: 1)
        try expect(raw, .beyondFile(path: path, tensor: "a", end: raw.dataOffset + UInt64(end), found: raw.dataOffset + 1))
    }

    private func two(_ a: (Int, Int), _ b: (Int, Int), data: Int) -> RawFile {
        func entry(_ range: (Int, Int)) -> String { "{\"dtype\":\"U8\",\"shape\":[\(range.1 - range.0)],\"data_offsets\":[\(range.0),\(range.1)]}" }
        return RawFile("{\"a\":\(entry(a)),\"b\":\(entry(b))}", data: data)
    }

    @Test("tensors cover the data exactly, in any order of the header") func cover() throws {
        let inOrder = try SafetensorsFile.open(try folder.write(two((0, 4), (4, 6), data: 6).bytes))
        #expect(inOrder.header.entries.map(\.name) == ["a", "b"])
        let reversed = try SafetensorsFile.open(try folder.write(two((2, 6), (0, 2), data: 6).bytes))
        #expect(reversed.header.entries.map(\.name) == ["b", "a"])
        let withEmpty = try SafetensorsFile.open(try folder.write(two((0, 6), (0, 0), data: 6).bytes))
        #expect(withEmpty.header.entries.map(\.name) == ["b", "a"])
        #expect(try withEmpty.read("b").shape == [0])
    }

    @Test func overlap() throws {
        let raw = two((0, 4), (2, 6), data: 6)
        try expect(raw, .overlap(path: path, tensor: "b", other: "a", expected: raw.dataOffset + 4, found: raw.dataOffset + 2))
        let same = two((0, 4), (0, 4), data: 4)
        try expect(same, .overlap(path: path, tensor: "b", other: "a", expected: same.dataOffset + 4, found: same.dataOffset))
        let emptyInside = two((0, 4), (2, 2), data: 4)
        try expect(emptyInside, .overlap(path: path, tensor: "b", other: "a", expected: emptyInside.dataOffset + 4, found: emptyInside.dataOffset + 2))
    }

    @Test func hole() throws {
        let raw = two((0, 4), (5, 6), data: 6)
        try expect(raw, .hole(path: path, tensor: "b", expected: raw.dataOffset + 4, found: raw.dataOffset + 5))
        let atStart = two((1, 4), (4, 6), data: 6)
        try expect(atStart, .hole(path: path, tensor: "a", expected: atStart.dataOffset, found: atStart.dataOffset + 1))
    }

    @Test func trailingBytes() throws {
        let raw = two((0, 4), (4, 6), data: 7)
        try expect(raw, .trailingBytes(path: path, expected: raw.dataOffset + 6, found: raw.dataOffset + 7))
        try expect(RawFile("{}", data: 1), .trailingBytes(path: path, expected: 10, found: 11))
    }

    @Test("the messages name the tensor, what was expected and what was found") func messages() throws {
        let error = SafetensorsError.sizeMismatch(path: "x", tensor: "w\u{1B}", dtype: .bf16, shape: [2, 3], expected: 12, found: 10)
        #expect("\(error)" == "x: tensor \"w\\u{1b}\": data_offsets: expected 12 bytes for BF16 [2, 3], found 10")
    }
}

import Checkpoints
import Conversion
import Parity
import Safetensors
import StrictJSON
import Tensors
import TestKit

/// Safetensors, and the files that are written in it. "file" is one byte for byte; elsewhere the input is a header, and length and data are made for it,
/// so that mutations go where the parsers are.
extension ParserUnderFuzz {
    static let tensorFiles = [
        ParserUnderFuzz(name: "safetensors-file", seeds: { try headers().map(file) }, read: readSafetensors),
        ParserUnderFuzz(name: "safetensors", seeds: headers) { try readSafetensors(file($0)) },
        ParserUnderFuzz(name: "adapter", seeds: { try ["peft", "kohya", "onetrainer", "dora"].map { try header("adapters/\($0).safetensors") } }) {
            let file = try InMemoryFile(file($0))
            let adapter = try AdapterFile.open(file.path)
            _ = (adapter.summary, adapter.problems.map { "\($0)" })
        },
        ParserUnderFuzz(name: "statistics", seeds: { [statistics] }) {
            let file = try InMemoryFile(file($0))
            _ = try InputStatistics(reading: file.path)
        },
        ParserUnderFuzz(name: "trace", seeds: { [traceHeader] }) {
            let file = try InMemoryFile(file($0))
            let trace = try TraceFile.open(file.path)
            _ = (trace.arithmetic, trace.weights)
            for probe in trace.probes { _ = try trace.read(probe) }
        },
    ]

    /// A file of that header, with the data that its offsets ask for, as far as that is little: small integers, tiny floats.
    @Sendable private static func file(_ header: [UInt8]) -> [UInt8] {
        var end = 0
        if case .object(let object) = (try? JSONValue.parse(header)) ?? .null {
            for (_, entry) in object.members { end = max(end, min(Int(entry["data_offsets"]?.array?.last?.integer ?? 0), 1 << 16)) }
        }
        return RawZip.little(UInt64(header.count)) + header + (0..<end).map { $0 % 8 == 0 ? UInt8(truncatingIfNeeded: $0 / 8 | 1) : 0 }
    }

    @Sendable private static func readSafetensors(_ bytes: [UInt8]) throws {
        let onDisk = try InMemoryFile(bytes)
        let file = try SafetensorsFile.open(onDisk.path)
        var end = file.header.dataOffset
        for entry in file.header.entries {
            try Unsound.unless(entry.offset == end, "\(entry.name.debugDescription) does not follow the one before")
            end += entry.byteCount
            try Unsound.unless(try file.read(entry.name).contents.elementsEqual(bytes[Int(entry.offset)..<Int(end)]), "a tensor of other bytes")
        }
        try Unsound.unless(end == UInt64(bytes.count), "bytes that are nobody's")
    }

    @Sendable private static func headers() throws -> [[UInt8]] {
        [
            Array(
                #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[],"data_offsets":[16,18]}}"#
                    .utf8),
            Array(#"{"x":{"dtype":"I8","shape":[3,0,1],"data_offsets":[0,0]},"y":{"dtype":"F8_E4M3","shape":[7],"data_offsets":[0,7]}}   "#.utf8),
        ]
    }

    /// The header of a file of the fixtures, with the first tensors of its data.
    private static func header(_ name: String) throws -> [UInt8] {
        let bytes = try InMemoryFile.fixture(Fixtures.path(name))
        let count = (0..<8).reversed().reduce(0) { $0 << 8 | Int(bytes[$1]) }
        guard case .object(let object) = try JSONValue.parse(Array(bytes[8..<8 + count])) else { return [] }
        let kept = object.members.filter { ($0.value["data_offsets"]?.array?.last?.integer ?? 0) <= 4096 }
        return Array(JSONValue.object(JSONObject(kept.map { ($0.key, $0.value) })).text.utf8)
    }

    private static let traceHeader = Array(
        #"""
        {"__metadata__":{"meta":"{\"dtype\":\"float32\",\"steps\":2,\"weights\":\"exact\"}"},
        "dit.caption":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]},"dit.step0.block.0":{"dtype":"BF16","shape":[1,6],"data_offsets":[24,36]}}
        """#.utf8)

    private static let statistics = Array(
        #"""
        {"__metadata__":{"format":"sprintpack-calibration","version":"1","prompts":"a\nb","weight.w":"\#(String(repeating: "0", count: 64))"},
        "w.squares":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},"w.rows":{"dtype":"U64","shape":[],"data_offsets":[16,24]},
        "w.numbers":{"dtype":"U64","shape":[1],"data_offsets":[24,32]},"w.samples":{"dtype":"BF16","shape":[1,2],"data_offsets":[32,36]},
        "draws":{"dtype":"U64","shape":[1],"data_offsets":[36,44]},"w.impacts":{"dtype":"F64","shape":[1],"data_offsets":[44,52]}}
        """#.utf8)
}

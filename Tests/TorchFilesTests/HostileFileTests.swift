import Files
import TestKit
import Testing

@testable import TorchFiles

/// Files that want to do harm, or do it by accident: each is refused, with the reason in words.
struct HostileFileTests {
    let fixture: TorchFixture

    init() throws { fixture = try TorchFixture() }

    private func expect(_ bytes: [UInt8], _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
        let error = try #require(try fixture.refusal(bytes), "it was read", sourceLocation: sourceLocation)
        for word in [fixture.folder.file("model.pth"), "expected", "found"] + words {
            #expect("\(error)".contains(word), "\(error)", sourceLocation: sourceLocation)
        }
    }

    private func expect(pickle: [UInt8], _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
        let error = try #require(try fixture.refusal(TorchFixture.archive(pickle).bytes), "it was read", sourceLocation: sourceLocation)
        for word in ["data.pkl", "expected", "found"] + words { #expect("\(error)".contains(word), "\(error)", sourceLocation: sourceLocation) }
    }

    private func expect(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation, change: (inout RawZip) -> Void) throws {
        var zip = TorchFixture.archive(PickleText.weights())
        change(&zip)
        let error = try #require(try fixture.refusal(zip.bytes), "it was read", sourceLocation: sourceLocation)
        for word in [fixture.folder.file("model.pth"), "expected", "found"] + words {
            #expect("\(error)".contains(word), "\(error)", sourceLocation: sourceLocation)
        }
    }

    @Test("the archive that all others are made from is read") func honest() throws {
        var zip = TorchFixture.archive(PickleText.weights())
        for hasRecord64 in [true, false] {
            for isWide in [true, false] {
                zip.hasRecord64 = hasRecord64
                zip.hasWideDescriptors = isWide
                let file = try fixture.open(zip)
                #expect(try file.bytes(try #require(file.container("")?.tensors.first)) == TorchFixture.six)
            }
        }
        // As another program packs it: sizes in front of the data, nothing behind it.
        for index in zip.entries.indices {
            zip.entries[index].flags = 0
            zip.entries[index].localChecksum = CRC32.hash(zip.entries[index].bytes)
            zip.entries[index].localByteCount = UInt32(zip.entries[index].bytes.count)
        }
        #expect(try fixture.open(zip).container("")?.tensors.count == 1)
    }

    // MARK: Code

    @Test("functions of Python are named and not called", arguments: [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("subprocess", "Popen")])
    func calls(module: String, name: String) throws {
        let trace = fixture.folder.file("executed")
        let pickle = PickleText.weights {
            $0.global(module, name)
            $0.mark()
            $0.text("touch \(trace)")
            $0.raw("tR")
        }
        try expect(pickle: pickle, "\(module).\(name)", "nothing was executed")
        #expect(!Paths.exists(trace))
    }

    @Test(
        "instructions that torch does not write are named",
        arguments: [
            ("(cos\nsystem\no", "os.system"), ("(o", "OBJ"), ("Pid\n", "PERSID"), ("0", "POP"), ("2", "DUP"),
            ("I1\n", "INT"), ("S'a'\n", "STRING"), ("ccollections\nOrderedDict\n)\u{81}", "NEWOBJ"), ("(ios\nsystem\n", "INST"),
        ])
    func instructions(text: String, name: String) throws {
        try expect(pickle: [0x80, 2] + text.unicodeScalars.map { UInt8($0.value) } + [0x2E], name)
    }

    @Test("protocols beyond 2", arguments: [0, 1, 3, 4, 5, 255] as [UInt8]) func protocols(version: UInt8) throws {
        try expect(pickle: [0x80, version, 0x7D, 0x2E], "protocol \(version)")
        try expect(pickle: [0x80, 2, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x2E], "FRAME")
        try expect(pickle: [0x80, 2, 0x93, 0x2E], "STACK_GLOBAL")
    }

    @Test("a state for what has none") func build() throws {
        try expect(
            pickle: PickleText.weights {
                $0.tensor("0", count: 6, sizes: [6], strides: [1])
                $0.raw("}")
                $0.text("__setstate__")
                $0.text("x")
                $0.raw("sb")
            }, "BUILD", "an OrderedDict", "a tensor")
        try expect(pickle: [0x80, 2] + Array("ccollections\nOrderedDict\n}b.".utf8), "BUILD")
        try expect(pickle: [0x80, 2] + Array("ccollections\nOrderedDict\n)RNb.".utf8), "BUILD", "a dictionary")
    }

    @Test("what is on the list is still not called with anything") func arguments() throws {
        try expect(pickle: [0x80, 2] + Array("ccollections\nOrderedDict\n(K\u{1}tR.".utf8), "collections.OrderedDict", "no arguments")
        try expect(pickle: [0x80, 2] + Array("ctorch\nFloatStorage\n)R.".utf8), "torch.FloatStorage")
        try expect(pickle: [0x80, 2] + Array("K\u{1})R.".utf8), "REDUCE")
        try expect(pickle: [0x80, 2] + Array("ctorch._utils\n_rebuild_tensor_v2\n)R.".utf8), "_rebuild_tensor_v2")
        try expect(
            pickle: [0x80, 2] + Array("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nSize\n)NtR.".utf8), "torch.Tensor")
        try expect(pickle: [0x80, 2] + Array("ctorch._tensor\n_rebuild_from_type_v2\n(h\u{0}h\u{0}h\u{0}NtR.".utf8), "GET")
    }

    @Test(
        "tensors of other kinds, with what to do",
        arguments: [
            ("torch._utils", "_rebuild_sparse_tensor", "to_dense"), ("torch._utils", "_rebuild_qtensor", "float32"),
            ("torch", "ComplexFloatStorage", "float32"),
            ("torch", "QInt8Storage", "float32"), ("torch._utils", "_rebuild_meta_tensor_no_storage", "meta"),
            ("torch.distributed.tensor", "DTensor", "full_tensor"), ("torch._utils", "_rebuild_wrapper_subclass", "full_tensor"),
            ("argparse", "Namespace", "state_dict"), ("collections", "Counter", "state_dict"),
        ])
    func otherTensors(module: String, name: String, advice: String) throws {
        try expect(pickle: [0x80, 2] + Array("c\(module)\n\(name)\n.".utf8), "\(module).\(name)", advice)
    }

    // MARK: Bombs

    @Test("nesting of 100,000, cycles, and what is shared 2^60 times cost what their bytes cost") func bombs() throws {
        let clock = ContinuousClock()
        let began = clock.now
        let deep = [0x80, 2] + [UInt8](repeating: 0x5D, count: 100_000) + [UInt8](repeating: 0x61, count: 99_999) + [0x2E]
        try expectRoot(deep, "a list")
        try expectRoot([0x80, 2, 0x29] + [UInt8](repeating: 0x85, count: 100_000) + [0x2E], "a tuple")
        // t = (); t = (t, t), sixty times.
        try expectRoot([0x80, 2, 0x29] + (0..<60).flatMap { [0x71, UInt8($0), 0x68, UInt8($0), 0x86] as [UInt8] } + [0x2E], "a tuple")
        // A dictionary that holds itself, beside a tensor.
        var cycle = PickleText()
        cycle.raw("}")
        cycle.put(0)
        cycle.mark()
        cycle.text("self")
        cycle.get(0)
        cycle.text("weight")
        cycle.tensor("0", count: 6, sizes: [6], strides: [1])
        cycle.raw("u")
        let file = try fixture.open(TorchFixture.archive(cycle.finished))
        #expect(file.containers.allSatisfy { $0.tensors.map(\.name) == ["weight"] })
        // Dictionaries inside each other, 100,000 deep.
        let dictionaries = [0x80, 2] + (0..<100_000).flatMap { _ in [0x7D, 0x4B, 1] as [UInt8] } + [0x4E] + [UInt8](repeating: 0x73, count: 100_000) + [0x2E]
        #expect(try fixture.open(TorchFixture.archive(dictionaries)).containers.isEmpty)
        #expect(clock.now - began < .seconds(20))
    }

    private func expectRoot(_ pickle: [UInt8], _ found: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let error = try #require(try fixture.refusal(TorchFixture.archive(pickle).bytes), sourceLocation: sourceLocation)
        guard case .notAStateDict(_, found, _) = error else {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return
        }
    }

    @Test("a memo far beyond its instructions") func memo() throws {
        try expect(pickle: [0x80, 2, 0x7D, 0x72, 0xFF, 0xFF, 0xFF, 0xFF, 0x2E], "PUT", "4294967295")
        try expect(pickle: [0x80, 2, 0x7D, 0x71, 200, 0x2E], "PUT", "200")
        try expect(pickle: [0x80, 2, 0x68, 3, 0x2E], "GET", "3")
    }

    @Test("endless pickles") func endless() throws {
        let error = try #require(try fixture.refusal(TorchFixture.archive([0x80, 2] + [UInt8](repeating: 0x4E, count: 1_000_001)).bytes))
        #expect("\(error)".contains("instructions"), "\(error)")
    }

    @Test("a dictionary with more members than any model has tensors") func members() throws {
        var pickle = PickleText()
        pickle.raw("}(")
        for number in 0...65_536 {
            pickle.integer(number)
            pickle.raw("N")
        }
        pickle.raw("u")
        try expect(TorchFixture.archive(pickle.finished).bytes, "members")
    }

    @Test(
        "pickles that end early, or go on",
        arguments: [
            [0x80], [0x80, 2], [0x80, 2, 0x58, 10, 0, 0, 0, 65], [0x80, 2, 0x58, 0xFF, 0xFF, 0xFF, 0xFF], [0x80, 2, 0x8A, 9, 1], [0x80, 2, 0x4A, 1],
            [0x80, 2, 0x63, 65],
        ] as [[UInt8]])
    func truncatedPickle(bytes: [UInt8]) throws { try expect(pickle: bytes, "its end") }

    @Test func stack() throws {
        try expect(pickle: [0x80, 2, 0x2E], "STOP")
        try expect(pickle: [0x80, 2, 0x4E, 0x4E, 0x2E], "STOP")
        try expect(pickle: [0x80, 2, 0x28, 0x4E, 0x2E], "STOP")
        try expect(pickle: [0x80, 2, 0x74, 0x2E], "a mark")
        try expect(pickle: [0x80, 2, 0x4E, 0x28, 0x85, 0x2E], "fewer")
        try expect(pickle: [0x80, 2, 0x4E, 0x73, 0x2E], "fewer")
        try expect(pickle: [0x80, 2, 0x4E, 0x4E, 0x4E, 0x73, 0x2E], "SETITEM")
        try expect(pickle: [0x80, 2, 0x7D, 0x28, 0x4E, 0x75, 0x2E], "keys and values")
        try expect(pickle: [0x80, 2, 0x7D, 0x4E, 0x61, 0x2E], "APPEND")
        try expect(pickle: [0x80, 2, 0x7D, 0x2E, 0x00], "behind STOP")
        try expect(pickle: [0x80, 2, 0x63] + [UInt8](repeating: 65, count: 300), "at most 128 bytes")
    }

    // MARK: Tensors

    @Test(
        "views that leave their storage",
        arguments: [
            (0, [7], [1]), (1, [6], [1]), (0, [2, 3], [6, 1]), (-1, [2], [1]), (0, [-2], [1]), (0, [2], [-1]), (0, [1 << 62, 1 << 62], [1, 1]),
            (0, [2, 2], [.max, .max]), (6, [1], [1]), (0, [2, 3], [3]),
        ] as [(Int, [Int], [Int])])
    func views(offset: Int, sizes: [Int], strides: [Int]) throws {
        try expect(pickle: PickleText.weights { $0.tensor("0", count: 6, offset: offset, sizes: sizes, strides: strides) }, "storage \"0\"")
    }

    @Test("storages that are not what the pickle says") func storages() throws {
        try expect(TorchFixture.archive(PickleText.weights { $0.tensor("0", count: 7, sizes: [6], strides: [1]) }).bytes, "storage \"0\"", "24 bytes")
        try expect(TorchFixture.archive(PickleText.weights { $0.tensor("9", count: 6, sizes: [6], strides: [1]) }).bytes, "model/data/9")
        try expect(TorchFixture.archive(PickleText.weights { $0.tensor("../0", count: 6, sizes: [6], strides: [1]) }).bytes, "model/data/../0")
        try expect(pickle: PickleText.weights { $0.tensor("0", count: .max, sizes: [6], strides: [1]) }, "2^63")
        var twice = PickleText()
        twice.raw("}(")
        twice.text("a")
        twice.tensor("0", count: 6, sizes: [6], strides: [1])
        twice.text("b")
        twice.tensor("0", "HalfStorage", count: 12, sizes: [6], strides: [1])
        twice.raw("u")
        try expect(pickle: twice.finished, "the same type and size")
    }

    @Test("names that come twice, or are none") func names() throws {
        func pickle(_ name: (inout PickleText) -> Void) -> [UInt8] {
            var pickle = PickleText()
            pickle.raw("}(")
            for _ in 0..<2 {
                name(&pickle)
                pickle.tensor("0", count: 6, sizes: [6], strides: [1])
            }
            pickle.raw("u")
            return pickle.finished
        }
        try expect(TorchFixture.archive(pickle { $0.text("weight") }).bytes, "\"weight\" twice")
        try expect(TorchFixture.archive(pickle { $0.raw("N") }).bytes, "a name", "None")
        try expect(TorchFixture.archive(pickle { $0.text(String(repeating: "n", count: 600)) }).bytes, "512")
        try expect(TorchFixture.archive(pickle { $0.raw([0x58, 1, 0, 0, 0, 0xFF]) }).bytes, "UTF-8")
    }

    // MARK: Archives

    @Test func disagreeingHeaders() throws {
        try expect("the same name") { $0.entries[0].localName = "model/data.pkm" }
        try expect("the same flags") { $0.entries[0].localFlags = 0x0800 }
        try expect("the same flags") { $0.entries[0].localMethod = 8 }
        try expect("the same checksum") { $0.entries[0].localChecksum = 1 }
        try expect("the same checksum") { $0.entries[0].localByteCount = 5 }
        try expect("behind its data") { $0.entries[0].descriptor = [UInt8](repeating: 0, count: 16) }
        try expect("behind its data") {
            $0.entries[2].byteCount = 20; $0.entries[2].storedByteCount = 20
        }
        try expect("as many bytes stored") { $0.entries[2].storedByteCount = 20 }
        try expect("checksum", "damaged") { zip in
            zip.entries[0].checksum = 1
        }
    }

    @Test func doubledEntries() throws {
        try expect("\"model/data/0\" twice") { $0.entries.append($0.entries[2]) }
        try expect("one data.pkl") { $0.entries.append(.init("other/data.pkl", [0x80, 2, 0x7D, 0x2E])) }
        try expect("one data.pkl") { $0.entries[0].name = "a/b/data.pkl" }
        try expect("TorchScript") { $0.entries.append(.init("model/constants.pkl", [])) }
        try expect("data.pkl") { $0.entries[0].name = "model/other" }
    }

    @Test("an entry inside another") func overlap() throws {
        // The bytes of one entry are a whole entry of their own, which the directory names too.
        let inner = RawZip([.init("model/data/1", TorchFixture.six)])
        let body = Array(inner.bytes[..<(30 + 12 + 8 + 24 + 16)])
        var zip = TorchFixture.archive(PickleText.weights())
        zip.entries[1] = .init("model/other", body)
        let start = zip.bytes.firstRange(of: body)?.lowerBound
        var second = RawZip.Entry("model/data/1", TorchFixture.six)
        second.hasNoBody = true
        second.offset = UInt32(try #require(start))
        zip.entries.append(second)
        try expect(zip.bytes, "overlap")
    }

    @Test func packedEntries() throws {
        try expect("deflated", "zip -0") { $0.entries[2].method = 8 }
        try expect("method 12") { $0.entries[2].method = 12 }
        try expect("encrypted") { $0.entries[0].flags |= 1 }
        try expect("encrypted") { $0.entries[0].flags |= 1 << 6 }
        try expect("flags") { $0.entries[0].flags |= 2 }
    }

    @Test func directory() throws {
        try expect("entries") { $0.declaredEntries = 5 }
        try expect("entries") { $0.declaredEntries = 3 }
        try expect("its end at") { $0.directoryOffsetError = 1 }
        try expect("its end at") { $0.directoryOffsetError = -1 }
        try expect("the same in both") { $0.directoryOffsetError = 1 << 32 }
        try expect("end record") { $0.tail = [0] }
        try expect("end record") { $0.tail = [UInt8](repeating: 0, count: 40) }
        try expect("64-bit") { $0.entries[2].byteCount = .max }
        try expect("64-bit") { $0.entries[2].centralExtra = [1, 0, 8, 0] + RawZip.little(24 as UInt64) }
        try expect("extra fields") { $0.entries[2].centralExtra = [1, 0, 9, 0] }
        try expect("extra fields") { $0.entries[2].localExtra = [1] }
        try expect("header") { $0.entries[2].offset = 7 }
        try expect("header before the directory") { $0.entries[2].offset = 0xFFFF_FFF0 }
        try expect("UTF-8") { $0.entries[3].name = "model/\u{0}" }
        try expect("UTF-8") { $0.entries[3].name = "" }
    }

    @Test("a file that ends anywhere") func truncated() throws {
        let bytes = TorchFixture.archive(PickleText.weights()).bytes
        for count in 0..<bytes.count { #expect(try fixture.refusal(Array(bytes[..<count])) != nil, "\(count)") }
    }

    @Test("a file of a big machine, or of another format") func format() throws {
        try expect("little-endian machine") { $0.entries[1].bytes = Array("big".utf8) }
        try expect("older torch") { $0.entries.append(.init("model/.format_version", Array("2".utf8))) }
    }
}

import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import Proof

/// What a file proves of itself without the checkpoint.
@Suite struct CertificateTests {
    private static let index = "certificate/index.json"
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The file with another content, and the certificate's record of the content hash made right again: the numbers alone can tell.
    private func forged(
        _ preset: Preset, plane: (TensorEntry, inout [EncodedTensor]) throws -> Void = { _, _ in }, blob: (String, inout [UInt8]) -> Void = { _, _ in }
    ) throws -> PackedFile {
        let file = try ProofFixture.file(preset)
        return try ProofFixture.rewrite(
            file, to: folder.file("forged.sprint"), plane: plane, blob: blob,
            attachments: { hash, attachments in
                attachments.removeAll { !$0.name.hasPrefix("certificate/") }
                for place in attachments.indices where attachments[place].name == Self.index {
                    let text = String(decoding: attachments[place].bytes, as: UTF8.self)
                    attachments[place].bytes = Array(text.replacing(file.contentHash, with: hash).utf8)
                }
            })
    }

    /// The same content with other attachments.
    private func attached(_ file: PackedFile, _ change: @escaping (inout [Converter.Attachment]) -> Void) throws -> PackedFile {
        try ProofFixture.rewrite(file, to: folder.file("attached.sprint"), attachments: { _, attachments in change(&attachments) })
    }

    @Test("every claim of an honest file is proved again", arguments: ["tiny-sprint", "mini", "odd"], [Preset.int8, .bf16])
    func honest(checkpoint: String, preset: Preset) throws {
        let (file, verification): (PackedFile, Verification)
        if checkpoint == "tiny-sprint" {
            (file, verification) = (try ProofFixture.file(preset), try ProofFixture.verificationAlone(preset))
        } else {
            let source = try Checkpoint.open(Fixtures.path(checkpoint), variant: checkpoint == "odd" ? "fp16" : nil)
            try ProofFixture.convert(ConversionPlan(source, ConversionOptions(preset, components: .all)), to: folder.file("honest.sprint"))
            file = try PackedFile.open(folder.file("honest.sprint"))
            verification = try Verification(file, on: .best)
        }
        #expect(verification.findings == [] && verification.passed)
        let table = try #require(verification.tables.first { $0.title.hasPrefix("Certificate") })
        #expect(table.rows.count == 9)
        #expect(table.rows.dropLast(2).allSatisfy { $0[2].hasPrefix("held: ") && $0[3].hasPrefix("proved again: ") })
        #expect(table.rows.suffix(2).allSatisfy { $0[3].contains("--against") }, "what takes the checkpoint is said")
        #expect(file.attachments.filter { $0.name.hasPrefix("certificate/") }.reduce(0) { $0 + $1.section.contentByteCount } < 400_000)
    }

    @Test("files of single components, and of a frozen schedule, have certificates of what they hold")
    func parts() throws {
        let checkpoint = try Checkpoint.open(ProofFixture.checkpointPath)
        for (component, ids) in [(Component.transformer, ["P7", "P7", "P8"]), (.textEncoder, ["P7", "P7"]), (.vaeDecoder, ["P7", "P7"])] {
            let path = folder.file("\(component.rawValue).sprint")
            try ProofFixture.convert(ConversionPlan(checkpoint, ConversionOptions(.int8, components: .listed([component, .certificate]))), to: path)
            let verification = try Verification(PackedFile.open(path), on: .best)
            #expect(verification.passed, "\(component): \(verification.findings)")
            #expect(verification.rungs.map(\.id) == ["P0", "P1", "P3", "P3"] + ids)
        }
        let frozen = ConversionOptions(.int8, frozenSchedule: try FrozenSchedule(steps: ["1", "2"], guidance: [3.5]))
        try ProofFixture.convert(ConversionPlan(checkpoint, frozen), to: folder.file("frozen.sprint"))
        let verification = try Verification(PackedFile.open(folder.file("frozen.sprint")), against: checkpoint, on: .best)
        #expect(verification.passed && verification.rungs.contains { $0.claim.contains("certificate's values") })
        #expect(throws: ConversionError.self) {
            try ConversionPlan(checkpoint, ConversionOptions(.int8, components: .listed([.tokenizer, .certificate])))
        }
    }

    @Test func makingItReportsEveryStep() throws {
        var steps: [[Int]] = []
        let checkpoint = try Checkpoint.open(ProofFixture.checkpointPath)
        _ = try Certificate.make(of: ProofFixture.file(.int8), from: checkpoint, on: .best, tool: "tests") { steps.append([$0, $1]) }
        #expect(steps.map { $0[0] } == Array(1...steps.count) && steps.allSatisfy { $0[1] == steps.count })
    }

    @Test("changed tensors are found without the checkpoint, in their layers and no others", arguments: [Preset.int8, .bf16])
    func changedTensors(preset: Preset) throws {
        let changes: [(tensor: String, place: String, whole: String)] = [
            ("dit.blocks.02.self.qkv.weight", "dit.blocks.02", "dit"), ("dit.blocks.04.ff.in.bias", "dit.blocks.04", "dit"),
            ("text.layers.01.mlp.down.weight", "text.layers.01", ""), ("vae.dec.stage.2.block.00.conv1.weight", "vae.dec.stage.2", "vae.dec"),
        ]
        let file = try forged(preset) { entry, planes in
            guard changes.contains(where: { $0.tensor == entry.name }) else { return }
            let half = entry.shape.rows / 2
            planes = try planes.map { try ProofFixture.swapRows($0, 0..<half, half..<2 * half) }
        }
        let verification = try Verification(file, on: .best)
        #expect(verification.rungs.first { $0.id == "P0" }?.passed == true, "the file is consistent in itself")
        #expect(!verification.passed)
        let places = Set(verification.findings.map(\.subject))
        #expect(places.isSuperset(of: changes.map(\.place)) && places.isSubset(of: changes.flatMap { [$0.place, $0.whole] }), "\(places)")
    }

    @Test("one element that changes its sign is found, far below what rounding costs", arguments: [Preset.int8, .bf16])
    func changedElement(preset: Preset) throws {
        let file = try forged(preset) { entry, planes in
            guard entry.name == "dit.blocks.01.cross.out.weight" else { return }
            let elements = try planes[0].widened().elements
            let largest = try #require(elements.indices.max { abs(elements[$0]) < abs(elements[$1]) })
            let copy = try ProofFixture.copy(planes[0])
            let bytes = unsafe copy.buffer.mutableBytes
            if copy.dtype == .i8 {
                unsafe bytes[largest] = 0 &- bytes[largest]
            } else {
                unsafe bytes[2 * largest + 1] ^= 0x80
            }
            planes[0] = copy
        }
        let findings = try Verification(file, on: .best).findings
        #expect(findings.first?.subject == "dit.blocks.01" && Set(findings.map(\.subject)).isSubset(of: ["dit.blocks.01", "dit"]), "\(findings)")
    }

    @Test("another content than the certificate's is told as such")
    func contentHash() throws {
        let file = try ProofFixture.rewrite(
            ProofFixture.file(.bf16), to: folder.file("other.sprint"),
            blob: { name, bytes in if name == "scheduler/scheduler_config.json" { bytes.append(UInt8(ascii: "\n")) } },
            attachments: { _, attachments in attachments.removeAll { !$0.name.hasPrefix("certificate/") } })
        let verification = try Verification(file, on: .best)
        #expect(verification.findings.map(\.subject) == [Self.index] && verification.findings.first?.what == "content hash")
    }

    @Test("another tokenizer is found by the tokens it gives")
    func tokenizer() throws {
        let file = try forged(
            .bf16,
            blob: { name, bytes in
                // Two pieces of the prompt exchange their ids.
                guard name == "tokenizer/tokenizer.json" else { return }
                let text = String(decoding: bytes, as: UTF8.self)
                let swapped = text.replacing("\"▁red\":", with: "\"@\":").replacing("\"▁circle\":", with: "\"▁red\":").replacing("\"@\":", with: "\"▁circle\":")
                bytes = Array(swapped.utf8)
            })
        #expect(try Verification(file, on: .best).findings.map(\.subject) == ["tokenizer/tokenizer.json"])
    }

    @Test("a certificate that is damaged or forged is named")
    func damaged() throws {
        let file = try ProofFixture.file(.int8)
        let value = "certificate/values/dit.block.1"
        let cases: [(name: String, change: ([UInt8]) -> [UInt8]?)] = [
            (value, { Array($0.dropLast(4)) }), (value, { _ in nil }), (Self.index, { _ in [0x5B] }), (Self.index, { _ in nil }),
            (Self.index, { Array(String(decoding: $0, as: UTF8.self).replacing("\"version\":1", with: "\"version\":2").utf8) }),
            (Self.index, { Array(String(decoding: $0, as: UTF8.self).replacing("\"shape\":[4,", with: "\"shape\":[5,").utf8) }),
            (Self.index, { Array(String(decoding: $0, as: UTF8.self).replacing("\"shape\":[", with: "\"shape\":[0,").utf8) }),
            ("certificate/fingerprints", { Array($0.dropLast(256)) }),
        ]
        for (index, item) in cases.enumerated() {
            let changed = try attached(file) { attachments in
                attachments = attachments.compactMap { attachment in
                    attachment.name == item.name ? item.change(attachment.bytes).map { (attachment.name, $0) } : attachment
                }
            }
            let verification = try Verification(changed, on: .best)
            #expect(!verification.passed, "\(index)")
            #expect(verification.findings.count == 1 && verification.findings[0].subject.hasPrefix("certificate/"), "\(index): \(verification.findings)")
        }
        // A shape that holds as many numbers, but is not what the model takes: nothing is run on it.
        let transposed = try attached(file) { attachments in
            for place in attachments.indices where attachments[place].name == Self.index {
                let text = String(decoding: attachments[place].bytes, as: UTF8.self)
                attachments[place].bytes = Array(text.replacing("\"shape\":[4,", with: "\"shape\":[2,2,").utf8)
            }
        }
        #expect(try Verification(transposed, on: .best).findings.contains { $0.subject.hasPrefix("certificate/values/") })
    }

    @Test("values that are not the checkpoint's are found, and with the checkpoint in their own step alone")
    func forgedValues() throws {
        let changed = try attached(ProofFixture.file(.bf16)) { attachments in
            for place in attachments.indices where attachments[place].name == "certificate/values/dit.block.1" {
                for byte in 0..<64 { attachments[place].bytes.swapAt(byte, 256 + byte) }
            }
        }
        #expect(try Set(Verification(changed, on: .best).findings.map(\.subject)) == ["dit.blocks.01", "dit.blocks.02"])
        let verification = try Verification(changed, against: Checkpoint.open(ProofFixture.checkpointPath), on: .best)
        let rung = try #require(verification.rungs.first { $0.claim.contains("certificate's values") })
        #expect(!rung.passed)
        #expect(Set(verification.findings.filter { $0.what == "P5: \(rung.claim)" }.map(\.subject)) == ["dit.block.1", "dit.block.2"])
    }

    @Test("a file without certificate says so")
    func without() throws {
        let file = try attached(ProofFixture.file(.int8)) { $0.removeAll { $0.name.hasPrefix("certificate/") } }
        let verification = try Verification(file, on: .best)
        #expect(verification.passed)
        #expect(verification.tables.contains { $0.title == "Certificate" && $0.rows[0][0].contains("has none") })
        #expect(verification.report(environment: [], command: "").headline.contains("no certificate"))
    }
}

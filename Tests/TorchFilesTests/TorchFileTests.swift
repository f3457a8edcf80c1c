import Files
import StrictJSON
import Tensors
import TestKit
import Testing

@testable import TorchFiles

/// Files that real torch wrote (Tests/Fixtures/oracle/make_torch_files.py), against what torch reads from them.
struct TorchFileTests {
    private static func expected() throws -> JSONValue {
        try JSONValue.parse(try InputFile(path: Fixtures.path("torch/expected.json")).contents(limit: 1 << 20))
    }

    private func check(_ container: TorchContainer, of file: TorchFile, against expected: JSONValue?) throws {
        let members = try #require(expected?.object?.members)
        #expect(container.tensors.map(\.name).sorted() == members.map(\.key).sorted())
        for (name, value) in members {
            let tensor = try #require(container.tensors.first { $0.name == name })
            #expect(tensor.dtype.rawValue == value["dtype"]?.string, "\(name)")
            #expect(tensor.shape.extents == value["shape"]?.array?.compactMap { $0.integer.map(Int.init) }, "\(name)")
            // Whole, and in pieces that begin and end anywhere.
            for piece in [1 << 20, 7, 1] {
                #expect(SHA256Stream.digest(try file.bytes(tensor, piece: piece)) == value["sha256"]?.string, "\(name) in pieces of \(piece)")
            }
        }
    }

    @Test("every kind of view, type and wrapping reads as torch reads it") func views() throws {
        let file = try TorchFile.open(Fixtures.path("torch/views.pth"))
        #expect(file.containers.map(\.path) == [""])
        #expect(file.hasChecksums)
        let container = try #require(file.container(""))
        try check(container, of: file, against: Self.expected()["views"])
        #expect(container.tensors.filter { !$0.isContiguous }.map(\.name).contains("transposed"))
        #expect(container.tensors.first { $0.name == "transposed" }?.scratchByteCount == StridedReader.windowByteCount)
        #expect(container.tensors.first { $0.name == "plain" }?.scratchByteCount == 0)
        try file.checkUnchanged()
    }

    @Test("a training file with optimizer and states of generators") func training() throws {
        let file = try TorchFile.open(Fixtures.path("torch/training.pth"))
        for key in ["state_dict", "state_dict_ema"] { try check(try #require(file.container(key)), of: file, against: Self.expected()["training"]?[key]) }
        #expect(file.containers.map(\.path).contains("optimizer.state.0"))
        #expect(file.container("optimizer.state.0")?.tensors.map(\.name).sorted() == ["exp_avg", "exp_avg_sq", "step"])
        #expect(file.container("rng_state")?.tensors.map(\.name) == ["torch", "generator"])
    }

    @Test("checksums that were never computed are no damage") func noChecksums() throws {
        let file = try TorchFile.open(Fixtures.path("torch/no-checksums.pth"))
        #expect(!file.hasChecksums)
        #expect(file.container("")?.tensors.map(\.name) == ["weight"])
    }

    @Test("a whole model, and another protocol, are refused by name") func refusals() {
        #expect { try TorchFile.open(Fixtures.path("torch/module.pth")) } throws: { error in
            guard case TorchFileError.global(_, _, "torch.nn.modules.linear.Linear", _) = error else { return false }
            return "\(error)".contains("nothing was executed") && "\(error)".contains("state_dict")
        }
        #expect { try TorchFile.open(Fixtures.path("torch/protocol-4.pth")) } throws: { error in
            guard case TorchFileError.opcode(_, 0, "protocol 4", _) = error else { return false }
            return true
        }
    }

    @Test("the weights and their average may be one dictionary") func aliases() throws {
        var pickle = PickleText()
        pickle.raw("}(")
        pickle.text("state_dict")
        pickle.raw("}")
        pickle.put(0)
        pickle.text("w")
        pickle.tensor("0", count: 6, sizes: [6], strides: [1])
        pickle.raw("s")
        pickle.text("ema")
        pickle.get(0)
        pickle.raw("u")
        let fixture = try TorchFixture()
        let file = try fixture.open(TorchFixture.archive(pickle.finished))
        #expect(file.containers.map(\.path) == ["state_dict", "ema"])
        let tensor = try #require(file.container("ema")?.tensors.first)
        #expect(try file.bytes(tensor) == TorchFixture.six)
    }

    @Test("a file that shrinks is an error of reading, not a crash") func shrinks() throws {
        let fixture = try TorchFixture()
        let file = try fixture.open(TorchFixture.archive(PickleText.weights()))
        let tensor = try #require(file.container("")?.tensors.first)
        try fixture.folder.put([0], "model.pth")
        #expect(throws: TorchFileError.self) { try file.bytes(tensor) }
        #expect(throws: TorchFileError.file(.changedWhileReading(path: file.path))) { try file.checkUnchanged() }
    }
}

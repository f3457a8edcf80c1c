import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import Conversion

/// Every transform of rows, through a toy table: one row of the family's is changed, and what it needs comes from a file of its own.
@Suite struct RecipeTests {
    private static let name = "dit.blocks.00.self.qkv.weight"
    private let checkpoint: Checkpoint
    private let width: Int
    private let rank = 3
    private let factor = 0.37
    private let order: [Int]
    /// The additions' values, by name.
    private var added: [String: [Float]] = [:]
    private let parts: [String: [Float]]

    init() throws {
        let base = try Checkpoint.open(Fixtures.path("mini"))
        let component = try #require(base.components["transformer"])
        var parts: [String: [Float]] = [:]
        for part in ["q", "k", "v"] { parts[part] = try component.read(Self.source(part)).widened().elements }
        let shape = try #require(component.entry(Self.source("q"))).shape
        width = shape.rows
        (self.parts, order) = (parts, (0..<shape.rows).map { ($0 * 7 + 3) % shape.rows })
        try #require(Set(order).count == width && shape == [width, width])
        var random = SplitMix64(seed: 11)
        var contents: [(name: String, tensor: EncodedTensor)] = []
        for (name, shape, dtype) in [
            ("toy.factors", [width], .f32), ("toy.up", [width, rank], .bf16), ("toy.down", [rank, width], .f16), ("toy.rest", [width, 1], .f64),
        ] as [(String, Shape, DType)] {
            let values = (0..<shape.elementCount).map { _ in Float.random(in: -1...1, using: &random) }
            let tensor = try EditableCheckpoint.encoded(values, shape, dtype)
            contents.append((name, tensor))
            added[name] = try tensor.widened().elements
        }
        checkpoint = try base.replacing("transformer", files: component.files + [MemoryFile("/toy/adapter.bin", contents)])
    }

    private static func source(_ part: String) -> String { "transformer_blocks.0.attn1.to_\(part).weight" }

    /// q: rows permuted, then scaled, then a product added; k: a product added, then scaled, then permuted; v: the rows of its two halves exchanged.
    private var edit: RowEdit {
        let (width, rank, factor, order) = (width, rank, factor, order)
        return { row, _ in
            guard row.name == Self.name else { return row }
            let scale = RowTransform.scale(by: .init("toy.factors", [width]))
            let product = RowTransform.add([RowAddition(factor: factor, up: .init("toy.up", [width, rank]), down: .init("toy.down", [rank, width]))])
            let sources: [Recipe.Source] = [
                .init(Self.source("q"), [width, width], [.permute(order), scale, product]),
                .init(Self.source("k"), [width, width], [product, scale, .permute(order)]),
                .init(Self.source("v"), [width, width], [.permute(Array(width / 2..<width))]),
                .init(Self.source("v"), [width, width], [.permute(Array(0..<width / 2))]),
            ]
            return WeightRow(name: row.name, shape: row.shape, role: row.role, recipe: .rows(sources), layout: row.layout)
        }
    }

    /// One element after the other, with the roundings that the transforms state.
    private var expected: [Float] {
        func product(_ row: Int, _ column: Int) -> Double {
            let (up, down) = (added["toy.up"] ?? [], added["toy.down"] ?? [])
            return factor * (0..<rank).reduce(0.0) { $0 + Double(up[row * rank + $1]) * Double(down[$1 * width + column]) }
        }
        let (factors, q, k, v) = (added["toy.factors"] ?? [], parts["q"] ?? [], parts["k"] ?? [], parts["v"] ?? [])
        var result: [Float] = []
        for row in 0..<width {
            for column in 0..<width { result.append(Float(Double(q[order[row] * width + column] * factors[row]) + product(row, column))) }
        }
        for row in order {
            for column in 0..<width { result.append(Float(Double(k[row * width + column]) + product(row, column)) * factors[row]) }
        }
        return result + v[(width / 2 * width)...] + v[..<(width / 2 * width)]
    }

    /// `toy.rest` is nobody's here.
    private func without(_ name: String) throws -> Checkpoint {
        let files = try #require(checkpoint.components["transformer"]).files
        let addition = try #require(files.last as? MemoryFile)
        let kept = try addition.tensors.filter { $0.name != name }.map { tensor in
            (name: tensor.name, tensor: try EditableCheckpoint.encoded(added[tensor.name] ?? [], tensor.shape, tensor.dtype))
        }
        return try checkpoint.replacing("transformer", files: files.dropLast() + [MemoryFile(addition.path, kept)])
    }

    /// In a process of its own for each number of threads, which is settled once.
    @Test("rows are those of plain loops, in any ranges, on any number of threads", arguments: [1, 2, 5]) func plainLoops(_ threads: Int) async {
        await #expect(processExitsWith: .success) { [threads] in
            Parallel.use(threads: threads)
            let toy = try RecipeTests()
            let (expected, width, name) = (toy.expected, toy.width, RecipeTests.name)
            let weights = try CheckpointWeights(try toy.without("toy.rest"), edit: toy.edit)
            let whole = try weights.weight(name).widened().elements
            precondition(whole == expected)
            for indices in [[0], [width - 1, width], [1, width / 2, width + 3, 2 * width - 1, 2 * width, 3 * width - 1], Array(0..<3 * width)] {
                let rows = try weights.rows(indices, of: name).widened().elements
                precondition(rows == indices.flatMap { expected[$0 * width..<($0 + 1) * width] })
            }
        }
    }

    @Test("a packed file is the same whatever the pieces, and is made again from its recipe", arguments: [Preset.fp32, .bf16, .int8])
    func packed(preset: Preset) throws {
        let (folder, checkpoint) = (try TemporaryFolder(), try without("toy.rest"))
        var files: [[UInt8]] = []
        for bound in [1 << 30, (72 << 20) + 40_000, (72 << 20) + 150_000] {
            let options = ConversionOptions(preset, fusions: .lossless, components: .listed([.transformer]), memoryBound: bound)
            var done: [Converter.Progress] = []
            let plan = try ConversionPlan(checkpoint, options, edit: edit)
            _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), replace: true, tool: tool) { done.append($0) }
            #expect(done.last?.done == plan.sourceByteCount)
            #expect(zip(done, done.dropFirst()).allSatisfy { $0.done <= $1.done })
            files.append(try contents(folder.file("x.sprint")))
        }
        #expect(files[0] == files[1] && files[0] == files[2])

        let file = try PackedFile.open(folder.file("x.sprint"))
        let entry = try #require(file.entry(Self.name))
        let planes = try file.planes(of: entry)
        if preset == .fp32 { #expect(try entry.scheme.decode(planes, shape: entry.shape).elements == expected) }
        #expect(try entry.scheme.checkBound(planes, source: Tensor(entry.shape, expected)).holds)
        // Every tensor that was read is recorded, with the digest of its bytes as they are stored.
        let component = try #require(checkpoint.components["transformer"])
        #expect(entry.sources.map(\.name) == ["q", "k", "v", "v"].map(Self.source) + ["toy.factors", "toy.up", "toy.down"])
        #expect(entry.sources.map(\.rowScale) == ["toy.factors", "toy.factors", nil, nil, nil, nil, nil])
        for source in entry.sources { #expect(try source.sha256 == SHA256Stream.digest(bytes(component.read(source.name))), "\(source.name)") }

        let rederivation = try Rederivation(file, checkpoint, on: .best, edit: edit)
        for entry in file.directory.tensors {
            let finding = try rederivation.check(entry)
            #expect(finding.holds && finding.isBitIdentical && finding.error == entry.error, "\(finding)")
        }
        // The family's own recipe is another one.
        let other = try Rederivation(file, try Checkpoint.open(Fixtures.path("mini")), on: .best)
        let finding = try other.check(entry)
        #expect(!finding.isBitIdentical && finding.disagreements.contains { $0.hasPrefix("sources: ") })
    }

    @Test func whatATransformReadsIsPlannedFor() throws {
        let (checkpoint, edit, name, source) = (checkpoint, edit, Self.name, Self.source("q"))
        let (width, rank) = (width, rank)
        let plan = try ConversionPlan(try without("toy.rest"), ConversionOptions(.int8, fusions: .lossless), edit: edit)
        let tensor = try #require(plan.tensors.first { $0.name == name })
        #expect(tensor.operands.map(\.name) == ["toy.factors", "toy.up", "toy.down"])
        #expect(tensor.sourceByteCount == (tensor.sources + tensor.operands).reduce(0) { $0 + $1.byteCount })
        // A tensor that the checkpoint lacks, one of another shape, and one that nothing takes.
        let wrong: RowEdit = { row, component in
            guard row.name == name else { return row }
            let transforms: [RowTransform] = [
                .scale(by: .init("toy.none", [width])), .add([RowAddition(factor: 1, up: .init("toy.up", [width, 1]), down: .init("toy.rest", [1, width]))]),
            ]
            let parts = ["k", "v"].map { Recipe.Source(Self.source($0), [width, width]) }
            return WeightRow(name: row.name, shape: row.shape, role: row.role, recipe: .rows([.init(source, [width, width], transforms)] + parts))
        }
        guard case .tensors(_, let problems) = conversionError({ _ = try ConversionPlan(checkpoint, ConversionOptions(.bf16), edit: wrong) }) else {
            Issue.record("no error about tensors")
            return
        }
        #expect(problems.contains(.shape(name: "toy.up", expected: [width, 1], found: [width, rank])))
        #expect(problems.contains(.shape(name: "toy.rest", expected: [1, width], found: [width, 1])))
        #expect(problems.contains { if case .missing("toy.none", name, _) = $0 { true } else { false } })
        #expect(problems.contains { if case .unclaimed("toy.down", _) = $0 { true } else { false } })
    }

    /// What is added may make a value that a scheme cannot hold: the place is the one in the stored tensor.
    @Test func overflowNamesThePlaceInTheSource() throws {
        let (folder, width, order, name, source) = (try TemporaryFolder(), width, order, Self.name, Self.source("q"))
        let base = try Checkpoint.open(Fixtures.path("mini"))
        let component = try #require(base.components["transformer"])
        var up = [Float](repeating: 0, count: width)
        up[5] = 1
        let down = [Float](repeating: 0, count: width - 1) + [1e6]
        let addition = MemoryFile(
            "/toy/a", [("toy.up", EncodedTensor(try Tensor([width, 1], up))), ("toy.down", EncodedTensor(try Tensor([1, width], down)))])
        let checkpoint = try base.replacing("transformer", files: component.files + [addition])
        let edit: RowEdit = { row, _ in
            guard row.name == name else { return row }
            let transforms: [RowTransform] = [
                .permute(order), .add([RowAddition(factor: 1, up: .init("toy.up", [width, 1]), down: .init("toy.down", [1, width]))]),
            ]
            let parts = ["k", "v"].map { Recipe.Source(Self.source($0), [width, width]) }
            return WeightRow(name: row.name, shape: row.shape, role: row.role, recipe: .rows([.init(source, [width, width], transforms)] + parts))
        }
        let plan = try ConversionPlan(checkpoint, ConversionOptions(.fp16, components: .listed([.transformer])), edit: edit)
        let error = conversionError { _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: tool) }
        let place = order[5] * width + width - 1
        guard case .overflow(source, let value, place, .f16) = error else {
            Issue.record("no error about the value: \(String(describing: error))")
            return
        }
        #expect(abs(value - 1e6) < 10)
    }
}

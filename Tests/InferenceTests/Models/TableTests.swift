import Files
import Inference
import Operations
import Safetensors
import StrictJSON
import Tensors
import TestKit
import Testing

/// The weight table against the tensors of real checkpoints.
@Suite struct TableTests {
    static let fusionSets: [Fusions] = [[], .queryKeyValue, .crossKeyValue, .lossless, .queryNorm, [.lossless, .queryNorm]]

    @Test(arguments: ["tiny-sprint", "mini", "odd"], fusionSets) func everyTensorIsClaimedOnceInItsShape(_ fixture: String, _ fusions: Fusions) throws {
        let configuration = try FixtureConfiguration.read(fixture)
        for (folder, components) in [("transformer", [Component.transformer]), ("vae", [.vaeDecoder, .vaeEncoder]), ("text_encoder", [.textEncoder])] {
            var found: [String: Shape] = [:]
            let path = Paths.join(Fixtures.path(fixture), folder)
            for name in try Paths.entries(of: path) where name.hasSuffix(".safetensors") {
                for entry in try SafetensorsFile.open(Paths.join(path, name)).header.entries { found[entry.name] = entry.shape }
            }
            var claimed: [String] = []
            for row in components.flatMap({ SanaSprintWeights.table(configuration, component: $0, fusions: fusions) }) {
                #expect(row.shape.elementCount == row.recipe.main.reduce(0) { $0 + $1.shape.elementCount }, "\(row.name)")
                for source in row.recipe.main {
                    #expect(found[source.name] == source.shape, "\(row.name): \(source.name)")
                    claimed.append(source.name)
                }
            }
            // A norm folded into a projection is claimed as the row scale of it.
            let scales = components.flatMap { SanaSprintWeights.table(configuration, component: $0, fusions: fusions) }.flatMap(\.recipe.operands).map(
                \.name)
            #expect((claimed + scales).sorted() == found.keys.sorted())
        }
    }

    @Test(arguments: fusionSets) func packedNamesAreUnique(_ fusions: Fusions) throws {
        let configuration = try FixtureConfiguration.read("tiny-sprint")
        let names = Component.allCases.flatMap { SanaSprintWeights.table(configuration, component: $0, fusions: fusions) }.map(\.name)
        #expect(Set(names).count == names.count && !names.isEmpty)
    }

    @Test func aWeightOfAnotherShapeIsAnErrorThatNamesIt() throws {
        let source = SubstitutedWeights(try TableWeights("tiny-sprint"), name: "dit.caption.out.weight", with: .plain(EncodedTensor(try Tensor([192, 191]))))
        let error = #expect(throws: InferenceError.self) { try SanaSprintPipeline(weights: source, on: .best).transformer() }
        #expect(error == .wrongShape(name: "dit.caption.out.weight", expected: [192, 192], found: [192, 191]))
    }
}

/// A source with one weight replaced.
private struct SubstitutedWeights: WeightSource {
    let base: TableWeights
    let name: String
    let replacement: StoredWeight

    init(_ base: TableWeights, name: String, with replacement: StoredWeight) { (self.base, self.name, self.replacement) = (base, name, replacement) }

    func configuration(_ name: String) throws(InferenceError) -> JSONValue { try base.configuration(name) }
    func tokenizer() throws(InferenceError) -> [UInt8] { try base.tokenizer() }
    var fusions: Fusions { base.fusions }
    func contains(_ name: String) -> Bool { base.contains(name) }
    func weight(_ name: String) throws(InferenceError) -> StoredWeight { name == self.name ? replacement : try base.weight(name) }
}

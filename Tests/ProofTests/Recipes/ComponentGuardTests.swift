import Files
import Inference
import TestKit
import Testing

/// Components and probes have one place each: who adds one looks there and not through the sources.
@Suite struct ComponentGuardTests {
    private static let sources = Paths.join((0..<4).reduce(#filePath) { path, _ in Paths.parent(of: path) }, "Sources")

    private static func files(_ folder: String = sources) throws -> [String] {
        try Paths.entries(of: folder).sorted().flatMap { name in
            let path = Paths.join(folder, name)
            return Paths.isDirectory(path) ? try files(path) : name.hasSuffix(".swift") ? [path] : []
        }
    }

    /// The lines of code, not of comments, of each file for which `isIt` holds.
    private static func places(_ isIt: (String) -> Bool) throws -> [String] {
        try files().filter { path in
            let text = String(decoding: try InputFile(path: path).contents(limit: 1 << 20), as: UTF8.self)
            return text.split(separator: "\n").contains { !$0.drop { $0 == " " }.hasPrefix("//") && isIt(String($0)) }
        }.map { String($0.dropFirst(sources.count + 1)) }
    }

    /// The component that does least: whoever names it would have to name a new one too.
    @Test func aComponentIsNamedByItsDefinitionItsModelAndItsProofAlone() throws {
        let places = try Self.places { $0.contains(".vaeEncoder") }
        #expect(
            places == [
                "Inference/Models/SanaSprint/Component.swift", "Inference/Models/SanaSprint/Pipeline/Engine.swift",
                "Inference/Models/SanaSprint/Pipeline/ModelParts.swift", "Inference/Models/SanaSprint/Pipeline/SanaSprintPipeline.swift",
                "Proof/Certificate/CertificateInputs.swift", "Proof/Certificate/CertificateWalk.swift",
            ])
    }

    /// Those whose names are no weight's too.
    @Test(arguments: ["dit.step", "dit.velocity", "input.noise", "image_u8", "prompt_embeds", "prompt_mask", "text.layer."])
    func aProbeIsSpelledInOnePlace(_ name: String) throws {
        #expect(try Self.places { $0.contains("\"\(name)") } == ["ProbePoints/Probe.swift"])
    }

    @Test func everyComponentIsInOneFolderOrComputed() {
        for component in Component.allCases {
            #expect(component.isAttachment == (component.folder == nil) && !(component.isAttachment && component.hasWeights))
        }
    }
}

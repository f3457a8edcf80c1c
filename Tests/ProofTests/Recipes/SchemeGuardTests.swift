import Files
import PackedFiles
import TestKit
import Testing

/// Formats/README.md, "To add a scheme", stays true: nobody but a scheme's own file knows it.
@Suite struct SchemeGuardTests {
    private static let sources = Paths.join(Paths.parent(of: Paths.parent(of: Paths.parent(of: Paths.parent(of: #filePath)))), "Sources")
    /// The presets, what a calibration chooses, and the two rungs that prove the kernels of `int8-per-channel` themselves.
    private static let exceptions: Set = [
        "Conversion/Policy/QuantizationPolicy.swift", "Conversion/Calibration/LayerChoices.swift", "Proof/Ladder/AccumulatorRung.swift",
        "Proof/Ladder/OperatorRung.swift",
    ]

    private static func files(_ folder: String = "") throws -> [(path: String, text: String)] {
        try Paths.entries(of: Paths.join(sources, folder)).flatMap { name -> [(path: String, text: String)] in
            let path = folder.isEmpty ? name : "\(folder)/\(name)"
            if Paths.isDirectory(Paths.join(sources, path)) { return try files(path) }
            guard name.hasSuffix(".swift") else { return [] }
            return [(path, String(decoding: try InputFile(path: Paths.join(sources, path)).contents(limit: 1 << 24), as: UTF8.self))]
        }
    }

    @Test("no room but the schemes' own knows a quantized scheme by its name, or switches over schemes")
    func nobodyKnowsThem() throws {
        let all = try Self.files()
        let declaration = /static let (\w+) = Scheme\(/
        let own = all.filter { $0.path.hasPrefix("PackedFiles/Schemes/") }
        let names = own.flatMap { $0.text.matches(of: declaration).map { String($0.1) } }
        #expect(names.count == SchemeList.builtIn.schemes.count, "each scheme is declared once, and listed")
        let quantized = names.filter { !["f32", "f16", "bf16"].contains($0) }
        for (path, text) in all where !path.hasPrefix("PackedFiles/Schemes/") {
            #expect(text.firstMatch(of: /switch [^{\n]*\bscheme(\.name)?\)? *\{/) == nil, "\(path)")
            for name in quantized where !Self.exceptions.contains(path) {
                #expect(!text.contains(".\(name)"), "\(path): .\(name)")
            }
            for scheme in SchemeList.builtIn.schemes where scheme.isQuantized {
                let code = text.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }
                #expect(!code.contains { $0.contains("\"\(scheme.name)") }, "\(path): \(scheme)")
            }
        }
    }

    @Test("the document tells the steps, and the schemes that it lists are those of the code")
    func documents() throws {
        let formats = Paths.join(Paths.parent(of: Self.sources), "Formats")
        func text(_ name: String) throws -> String { String(decoding: try InputFile(path: Paths.join(formats, name)).contents(limit: 1 << 24), as: UTF8.self) }
        let (readme, rules, trace, schemes) = (try text("README.md"), try text("rules.md"), try text("trace.md"), try text("schemes.md"))
        #expect(readme.contains("## To add a scheme") && readme.contains("`SchemeList.builtIn`"))
        for scheme in SchemeList.builtIn.schemes {
            #expect(rules.contains("`\(scheme)`") && schemes.contains("\n## \(scheme)\n"), "\(scheme)")
            #expect(trace.contains("`\(scheme.traceWord)`"), "a trace knows how \(scheme) rounds")
        }
    }
}

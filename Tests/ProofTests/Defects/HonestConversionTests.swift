import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Parity
import Quality
import Tensors
import TestKit
import Testing

@testable import Proof

/// Forty-eight honest files: whoever accuses one of them cries wolf.
struct HonestConversion: Sendable, CustomTestStringConvertible {
    let checkpoint: String
    let preset: Preset
    var fusions: Fusions?
    var rules = ""
    /// The type that the checkpoint's weights are stored in anew; nil for the fixture as it is.
    var type: DType?
    /// Whether linears are chosen by a calibration, of weights alone.
    var isBalanced = false
    /// What is searched for, of the pictures of two prompts.
    var goal: PolicySearch.Goal?

    /// Whether it is what `ProofFixture` has converted already.
    var isPlain: Bool { checkpoint == "tiny-sprint" && fusions == nil && rules.isEmpty && type == nil && !isBalanced && goal == nil }

    var testDescription: String {
        "\(checkpoint) \(preset.rawValue)\(isBalanced ? " balanced" : "")\(goal.map { " \($0)" } ?? "") \(fusions.map { $0.names.joined(separator: "+") } ?? "default") \(rules) \(type?.rawValue ?? "")"
    }

    static let all: [HonestConversion] = {
        var list: [HonestConversion] = []
        for checkpoint in ["mini", "odd"] {
            // Four bits are too coarse for the noise that their weights are.
            for preset in Preset.allCases where preset != .compact {
                for fusions in [[], .lossless, [.queryKeyValue, .crossKeyValue, .queryNorm]] as [Fusions] {
                    list.append(HonestConversion(checkpoint: checkpoint, preset: preset, fusions: fusions))
                }
            }
        }
        for preset in Preset.allCases { list.append(HonestConversion(checkpoint: "tiny-sprint", preset: preset)) }
        let rules = [
            "dit.blocks.00.* bf16", "*.cross.kv.weight int8-per-channel float", "text.layers.*.mlp.* f16\ntext.* bf16", "vae.dec.* f32",
            "dit.blocks.01.ff.*.weight f16\ndit.* bf16",
        ]
        for text in rules {
            for checkpoint in ["mini", "tiny-sprint"] where list.count < 40 {
                list.append(HonestConversion(checkpoint: checkpoint, preset: .int8, rules: text))
            }
        }
        for type in [DType.f32, .f16] { for preset in [Preset.int8, .bf16] { list.append(HonestConversion(checkpoint: "mini", preset: preset, type: type)) } }
        for checkpoint in ["mini", "odd", "tiny-sprint"] { list.append(HonestConversion(checkpoint: checkpoint, preset: .int8, isBalanced: true)) }
        list.append(HonestConversion(checkpoint: "tiny-sprint", preset: .compact, goal: .share(PolicySearch.compactShare)))
        list.append(HonestConversion(checkpoint: "odd", preset: .int8, goal: .sqnr(40)))
        return list
    }()
}

@Suite struct HonestConversionTests {
    private static let variants = ["odd": "fp16"]

    @Test func thereAreFortyEight() { #expect(HonestConversion.all.count == 48) }

    @Test("an honest conversion is not accused", arguments: HonestConversion.all)
    func honest(_ conversion: HonestConversion) throws {
        if conversion.isPlain {
            try Self.check(ProofFixture.verification(conversion.preset), alone: ProofFixture.verificationAlone(conversion.preset))
            return
        }
        let folder = try TemporaryFolder()
        var checkpoint = try Checkpoint.open(Fixtures.path(conversion.checkpoint), variant: Self.variants[conversion.checkpoint])
        if let type = conversion.type { checkpoint = try Self.retyped(checkpoint, type, in: folder.file("retyped")) }
        let rules = conversion.rules.isEmpty ? nil : try RuleFile(Array(conversion.rules.utf8))
        var options = ConversionOptions(conversion.preset, rules: rules, fusions: conversion.fusions, components: .all)
        if conversion.isBalanced { options.choose(try LayerChoices(dataFree: ConversionPlan(checkpoint, options))) }
        if let goal = conversion.goal {
            let plan = try ConversionPlan(checkpoint, options)
            let statistics = try Calibrator.run(plan, prompts: ["a red circle", "two cats"], withImpacts: true, on: .best)
            options.choose(try PolicySearch(plan, statistics, on: .best).policy(for: goal).choices)
        }
        try ProofFixture.convert(ConversionPlan(checkpoint, options), to: folder.file("honest.sprint"))
        let file = try PackedFile.open(folder.file("honest.sprint"))
        Self.check(try Verification(file, against: checkpoint, on: .best), alone: try Verification(file, on: .best))
    }

    private static func check(_ verification: Verification, alone: Verification) {
        #expect(verification.findings == [])
        #expect(verification.rungs.filter { !$0.passed } == [])
        #expect(Set(verification.rungs.map(\.id)) == ["P0", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9"])
        #expect(verification.rungs.map(\.id) == verification.rungs.map(\.id).sorted(), "rungs come in the order of the ladder")
        #expect(alone.passed && alone.rungs.contains { $0.id == "P8" }, "the certificate's claims can be proved again: \(alone.findings)")
    }

    @Test("four bits that are too coarse for a checkpoint of noise are called so, and no tensor is accused", arguments: ["mini", "odd"])
    func tooCoarse(_ fixture: String) throws {
        let folder = try TemporaryFolder()
        let checkpoint = try Checkpoint.open(Fixtures.path(fixture), variant: Self.variants[fixture])
        try ProofFixture.convert(ConversionPlan(checkpoint, ConversionOptions(.compact, components: .all)), to: folder.file("coarse.sprint"))
        let verification = try Verification(PackedFile.open(folder.file("coarse.sprint")), against: checkpoint, on: .best)
        #expect(!verification.findings.isEmpty && verification.findings.allSatisfy { $0.cause?.kind == .coarse }, "\(verification.findings)")
        #expect(verification.rungs.filter { !$0.passed }.allSatisfy { $0.id == "P9" })
    }

    /// A copy of a checkpoint whose weights are stored in another type, one file for each component.
    private static func retyped(_ checkpoint: Checkpoint, _ type: DType, in path: String) throws -> Checkpoint {
        try ProofFixture.copy(checkpoint, to: path) { _, tensors in try tensors.map { ($0.0, try $0.1.widened().narrowed(to: type)) } }
    }
}

import Inference
import PackedFiles
import Tensors
import Testing

@testable import Conversion

@Suite struct QuantizationPolicyTests {
    private func decide(_ preset: Preset, _ role: Role, _ component: Component, _ dtypes: [DType], shape: Shape = [4, 4]) throws -> Storage {
        try decide(preset, role, component, dtypes, .rows(dtypes.map { .init("\($0)", [4, 4]) }), shape: shape)
    }

    private func decide(_ preset: Preset, _ role: Role, _ component: Component, _ dtypes: [DType], _ recipe: Recipe, shape: Shape) throws -> Storage {
        let row = WeightRow(name: "a.weight", shape: shape, role: role, recipe: recipe)
        return try QuantizationPolicy(preset).decide(row, component: component, dtypes: dtypes).storage
    }

    @Test(arguments: [(Preset.fp32, Scheme.f32), (.fp16, .f16), (.bf16, .bf16)], Role.allCases)
    func plainPresetsStoreEverythingAlike(preset: (Preset, Scheme), role: Role) throws {
        for component in [Component.transformer, .vaeDecoder, .textEncoder] {
            #expect(try decide(preset.0, role, component, [.f16]) == Storage(preset.1))
        }
    }

    @Test func int8QuantizesWhatTheContractSays() throws {
        #expect(try decide(.int8, .linear, .transformer, [.bf16]) == Storage(.int8PerChannel, activations: .int8PerToken))
        #expect(try decide(.int8, .textLinear, .textEncoder, [.bf16]) == Storage(.int8PerChannel, activations: .float))
        #expect(try decide(.int8, .embedding, .textEncoder, [.f32]) == Storage(.int8PerChannel, activations: .float))
        #expect(try decide(.int8, .convolution, .vaeDecoder, [.bf16]) == Storage(.int8PerChannel, activations: .int8PerToken))
    }

    @Test func int8TurnsTheRowsOfGatedLinears() throws {
        let turned = Storage(.int8Rotated, activations: .int8PerToken)
        #expect(try decide(.int8, .gatedLinear, .transformer, [.bf16], shape: [4, 64]) == turned)
        #expect(try decide(.int8, .gatedLinear, .vaeDecoder, [.bf16], shape: [4, 64]) == turned)
        // No blocks of 32.
        #expect(try decide(.int8, .gatedLinear, .transformer, [.bf16], shape: [4, 48]) == Storage(.int8PerChannel, activations: .int8PerToken))
    }

    @Test(arguments: [Role.sensitiveLinear, .depthwise, .bias, .norm, .table])
    func int8KeepsTheRestIn16Bits(role: Role) throws {
        #expect(try decide(.int8, role, .transformer, [.bf16]) == Storage(.bf16))
        #expect(try decide(.int8, role, .transformer, [.f16, .f16]) == Storage(.f16))
        #expect(try decide(.int8, role, .transformer, [.f32]) == Storage(.bf16))
        #expect(try decide(.int8, role, .transformer, [.f16, .bf16]) == Storage(.bf16))
    }

    @Test(arguments: [Role.sensitiveConvolution, .groupedConvolution, .depthwise, .bias, .norm])
    func int8KeepsTheRestOfTheDecoderInFloat16(role: Role) throws {
        #expect(try decide(.int8, role, .vaeDecoder, [.bf16]) == Storage(.f16))
    }

    @Test(arguments: Preset.allCases, Role.allCases)
    func theEncoderIsStoredAsTheDecoder(preset: Preset, role: Role) throws {
        #expect(try decide(preset, role, .vaeEncoder, [.bf16], shape: [4, 64]) == decide(preset, role, .vaeDecoder, [.bf16], shape: [4, 64]))
    }

    /// Whatever they are for.
    @Test(arguments: Preset.allCases, Role.allCases)
    func whatIsComputedStaysFloat32(preset: Preset, role: Role) throws {
        let recipe = Recipe.computed(by: .scheduleEmbedding, from: [.init("a", [4, 4])])
        #expect(try decide(preset, role, .transformer, [.bf16], recipe, shape: [4, 4]) == Storage(.f32))
    }

    @Test(arguments: Role.allCases)
    func compactIsInt8ButForTheTextEncoderAndEmbedders(role: Role) throws {
        let isSmall = role == .textLinear || role == .embedding
        for component in [Component.textEncoder, .transformer, .vaeDecoder] {
            for shape in [[64, 128], [64, 80]] as [Shape] {
                let usual = try decide(.int8, role, component, [.bf16], shape: shape)
                let expected: Storage =
                    if role == .sensitiveLinear {
                        Storage(.int8PerChannel, activations: .float)
                    } else if isSmall, shape == [64, 128], usual.activations != nil {
                        Storage(.int4Grouped, activations: .float)
                    } else { usual }
                #expect(try decide(.compact, role, component, [.bf16], shape: shape) == expected)
            }
        }
    }

    @Test func onlyQuantizingPresetsChangeStoredValues() {
        #expect(Preset.int8.fusions.contains(.queryNorm) && Preset.compact.fusions == Preset.int8.fusions)
        for preset in [Preset.fp32, .fp16, .bf16] { #expect(preset.fusions == .lossless) }
    }
}

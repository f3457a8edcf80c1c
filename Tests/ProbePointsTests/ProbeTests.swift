import ProbePoints
import Testing

@Suite struct ProbeTests {
    /// One probe of each kind, in the order of the data, as traces have them.
    private static let traced = [
        Probe(.tokens), Probe(.attentionMask), Probe(.embeddings), Probe(.textLayer, 9), Probe(.textLayer, 10), Probe(.promptMask), Probe(.promptEmbeds),
        Probe(.start), Probe(.guidance), Probe(.caption), Probe(.controlPixels), Probe(.controlOutput), Probe(.controlLatents), Probe(.controlInput),
        Probe(.input, step: 0), Probe(.timestep, step: 0), Probe(.timeEmbedding, step: 0),
        Probe(.modulation, step: 0), Probe(.patches, step: 0), Probe(.block, 0, step: 0), Probe(.controlBlock, 0, step: 0),
        Probe(.controlResidual, 0, step: 0), Probe(.block, 1, step: 0), Probe(.controlBlock, 1, step: 0), Probe(.block, 19, step: 0),
        Probe(.outputNorm, step: 0), Probe(.output, step: 0), Probe(.negative, step: 0), Probe(.guided, step: 0),
        Probe(.denoised, step: 0), Probe(.noise, step: 0), Probe(.renoised, step: 0), Probe(.input, step: 11), Probe(.latents), Probe(.decoderInput),
        Probe(.decoderConvolution), Probe(.decoderStage, 5), Probe(.decoderStage, 0), Probe(.image), Probe(.bytes), Probe(.encoderConvolution),
        Probe(.encoderStage, 0), Probe(.encoderStage, 5), Probe(.encoderOutput),
    ]
    private static let certified = [
        Probe(.embeddings), Probe(.textLayer, 3), Probe(.textNorm), Probe(.caption), Probe(.timeEmbedding), Probe(.modulation), Probe(.patches),
        Probe(.block, 0), Probe(.outputNorm), Probe(.output), Probe(.velocity), Probe(.controlCaption), Probe(.controlModulation), Probe(.controlPatches),
        Probe(.controlInput), Probe(.controlBlock, 1), Probe(.controlResidual, 1), Probe(.controlVelocity), Probe(.decoderConvolution), Probe(.decoderStage, 2),
        Probe(.decoded),
        Probe(.encoded),
    ]

    @Test func aNameIsReadAsWhatItWasMadeOf() {
        for probe in Self.traced { #expect(Probe(probe.name) == probe) }
        for probe in Self.certified { #expect(Probe(certificate: probe.name) == probe) }
        #expect(Set((Self.traced + Self.certified).map(\.kind)) == Set(Probe.Kind.allCases), "a kind that no document has")
    }

    @Test func namesAreThoseOfTheFormats() {
        #expect(Probe(.block, 3, step: 1).name == "dit.step1.block.3")
        #expect(Probe(.noise, step: 2).name == "input.noise.2")
        #expect(Probe(.timeEmbedding).name == "dit.time_embed")
        #expect(Probe(.bytes).name == "image_u8")
        #expect(Probe(.decoderStage, 4).name == "vae.dec.stage.4")
    }

    @Test(arguments: [
        "", ".", "dit", "dit.step.input", "dit.step-1.input", "dit.step01.input", "dit.step0.block", "dit.step0.block.x", "dit.step0.block.1.attn1",
        "text.layer.+1", "text.layer.99999999999999999999", "vae.mid.stage.1", "Latents", "latents.", "dit.block.0", "dit.velocity", "text.norm",
        "control.block.0",
        "control.velocity", "control.step0.input",
    ]) func otherNamesAreNone(_ name: String) {
        #expect(Probe(name) == nil)
    }

    @Test func certificatesKnowNoSteps() { #expect(Probe(certificate: "dit.step0.output") == nil) }

    @Test func ranksRiseAsTheDataFlows() {
        for (first, second) in zip(Self.traced, Self.traced.dropFirst()) {
            #expect(first.rank.lexicographicallyPrecedes(second.rank), "\(first.name) before \(second.name)")
        }
    }

    @Test func tokenMapsHaveMasks() {
        #expect(Probe(.caption).mask == Probe(.promptMask))
        #expect(Probe(.textLayer, 2).mask == Probe(.attentionMask))
        #expect(Probe(.output, step: 0).mask == nil)
    }

    @Test func whatLiesInsideAPartBelongsToIt() {
        #expect(Probe.part("dit.step0.block.1.attn1") == .transformer)
        #expect(Probe.part("prompt_embeds") == .textEncoder)
        #expect(Probe.part("vae.dec.stage.0") == .autoencoder)
        #expect(Probe.part("image_u8") == .picture)
        #expect(Probe.part("latents") == nil)
    }

    @Test func onlyWhatBelongsToAStepTakesOne() {
        #expect(Probe(.output).at(2) == Probe(.output, step: 2))
        #expect(Probe(.caption).at(2) == Probe(.caption))
    }
}

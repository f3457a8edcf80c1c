import Testing

@testable import Parity

@Suite struct ProbeOrderTests {
    @Test func probesComeAsTheDataFlows() {
        let flow = [
            "text.input_ids", "text.attention_mask", "text.embed", "text.layer.2", "text.layer.10", "prompt_mask", "prompt_embeds", "input.latents",
            "dit.guidance", "dit.caption", "dit.step0.input", "dit.step0.timestep", "dit.step0.time_embed", "dit.step0.modulation",
            "dit.step0.patch_embed", "dit.step0.block.2", "dit.step0.block.10.attn1", "dit.step0.block.10", "dit.step0.norm_out", "dit.step0.output",
            "dit.step0.denoised", "input.noise.0", "dit.step0.latents", "dit.step1.input", "dit.step1.output", "dit.step10.input", "latents",
            "vae.dec.input", "vae.dec.conv_in", "vae.dec.stage.10", "vae.dec.stage.4", "vae.dec.stage.0", "image", "image_u8", "vae.enc.conv_in",
            "vae.enc.stage.0", "vae.enc.stage.4", "vae.enc.output", "a.stranger", "dit.strange", "vae.mid.stage.1",
        ]
        #expect(ProbeOrder.sorted(flow.shuffled()) == flow)
    }

    @Test func depthIsTheHighestBlockAndOne() {
        #expect(ProbeOrder.depth(["dit.step0.block.0", "dit.step1.block.19", "dit.step0.output"]) == 20)
        #expect(ProbeOrder.depth(["latents"]) == 0)
    }
}

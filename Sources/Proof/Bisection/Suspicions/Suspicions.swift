import Inference
import Parity
import ProbePoints
import StrictJSON

/// The mistakes that are tried where a probe is computed otherwise than by the model.
enum Suspicions {
    static func of(_ probe: Probe, _ configuration: SanaSprintConfiguration, _ fusions: Fusions) -> [Suspicion] {
        let transformer = TransformerSuspicions(configuration: configuration.transformer, fusions: fusions)
        let text = configuration.text.map { TextSuspicions(configuration: $0, fusions: fusions) }
        func autoencoder(_ part: String) -> AutoencoderSuspicions? {
            configuration.vae.map { AutoencoderSuspicions(configuration: $0, fusions: fusions, part: part) }
        }
        let control = configuration.control.map { ControlSuspicions(configuration: $0, fusions: fusions) }
        let index = probe.index ?? 0
        switch probe.kind {
        case .embeddings: return []
        case .textLayer: return text?.layer(index) ?? []
        case .promptEmbeds: return text?.features ?? []
        case .guidance:
            return [
                Suspicion(.guidance, "the guidance scale is not multiplied by guidance_embeds_scale") {
                    $0.guidance = 1 / configuration.transformer.guidanceScale
                }
            ]
        case .caption: return transformer.caption
        case .timeEmbedding: return transformer.timeEmbedding
        case .modulation: return transformer.modulationProjection
        case .patches: return transformer.patches
        case .block: return transformer.block(index) + (control?.joined ?? [])
        case .outputNorm: return transformer.outputNorm + (control?.joined ?? [])
        case .controlLatents: return control?.latents ?? []
        case .controlInput: return control?.input ?? []
        case .controlBlock: return control?.block(index) ?? []
        case .controlResidual: return control?.residual(index) ?? []
        case .output: return transformer.output
        case .input, .denoised, .renoised: return sampler(configuration)
        case .decoderConvolution: return autoencoder("dec")?.firstConvolution ?? []
        case .decoderStage: return autoencoder("dec")?.stage(index) ?? []
        case .encoderStage: return index > 0 ? autoencoder("enc")?.stage(index) ?? [] : []
        case .image: return autoencoder("dec")?.picture ?? []
        case .bytes: return [Suspicion(.rounding, "levels are cut off instead of rounded") { $0.truncates = true }]
        default: return []
        }
    }

    private static func sampler(_ configuration: SanaSprintConfiguration) -> [Suspicion] {
        [
            Suspicion(.timestep, "the times are those of the next step: off by one") { $0.time = 1 },
            Suspicion(.timestep, "the times are those of the step before: off by one") { $0.time = -1 },
            Suspicion(.channelOrder, "the noise is that of the next step") { $0.noise = 1 },
            Suspicion(.channelOrder, "the noise is that of the step before") { $0.noise = -1 },
        ]
            + [1.0, 0.5].filter { $0 != configuration.scheduler.sigmaData }.map {
                Suspicion(.scaled, "sigma_data is \($0) instead of \(configuration.scheduler.sigmaData)", "scheduler", [("sigma_data", .number($0))])
            }
    }
}

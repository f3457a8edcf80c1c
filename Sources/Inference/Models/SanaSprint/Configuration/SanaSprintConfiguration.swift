package import StrictJSON

/// Everything that the configuration files of a checkpoint say about its architecture.
package struct SanaSprintConfiguration: Sendable, Equatable {
    package let transformer: TransformerConfiguration
    package let vae: AutoencoderConfiguration?
    package let text: TextEncoderConfiguration?
    package let control: ControlConfiguration?
    package let scheduler: SchedulerConfiguration

    /// The folders whose configuration files say what a model with some components is. The transformer's and the scheduler's are of every model.
    package static func folders(of components: [Component]) -> [String] {
        ["transformer", "scheduler"] + ["vae", "text_encoder", "controlnet"].filter { folder in components.contains { $0.folder == folder } }
    }

    /// Reads the configuration files by their folders; components that are absent are not checked against the others.
    package init(_ files: [String: JSONValue]) throws(InferenceError) {
        transformer = try TransformerConfiguration(files["transformer"] ?? [:])
        vae = if let vae = files["vae"] { try AutoencoderConfiguration(vae) } else { nil }
        text = if let text = files["text_encoder"] { try TextEncoderConfiguration(text) } else { nil }
        control = if let control = files["controlnet"] { try ControlConfiguration(control) } else { nil }
        try control?.check(against: transformer)
        scheduler = try SchedulerConfiguration(files["scheduler"] ?? [:])
        if let encoder = text, encoder.width != self.transformer.captionChannels {
            throw .inconsistent(
                subject: "transformer/config.json: caption_channels", expected: "the text encoder's hidden_size, \(encoder.width)",
                found: "\(self.transformer.captionChannels)")
        }
        if let autoencoder = self.vae, autoencoder.latentChannels != self.transformer.channels {
            throw .inconsistent(
                subject: "transformer/config.json: in_channels", expected: "the autoencoder's latent_channels, \(autoencoder.latentChannels)",
                found: "\(self.transformer.channels)")
        }
    }
}

/// `scheduler/scheduler_config.json`: of diffusers' SCMScheduler, or of those that flow models come with.
package struct SchedulerConfiguration: Sendable, Equatable {
    /// Standard deviation of the clean latents.
    package let sigmaData: Double
    /// The most steps the scheduler takes.
    package let maximumSteps: Int
    /// How far Euler steps are shifted to the noise.
    let flowShift: Double

    /// The key of a flow scheduler's shift by its class; none of SCMScheduler, whose models are drawn otherwise.
    private static let classes: [(String, shift: String?)] = [
        ("SCMScheduler", nil), ("DPMSolverMultistepScheduler", "flow_shift"), ("FlowMatchEulerDiscreteScheduler", "shift"),
    ]
    /// What SANA's own repositories say.
    private static let usualShift = 3.0

    init(_ json: JSONValue) throws(InferenceError) {
        let reader = try ConfigurationReader(json, subject: "scheduler/scheduler_config.json")
        let shift = try reader.choice("_class_name", Self.classes.map { ($0.0, $0.shift) }, default: "SCMScheduler")
        maximumSteps = try reader.int("num_train_timesteps", in: 1...1_000_000, default: 1000)
        flowShift = try shift.map { key throws(InferenceError) in try reader.double(key, in: 1e-3...1e3, default: 1) } ?? Self.usualShift
        sigmaData = try reader.double("sigma_data", in: 1e-6...1e6, default: 0.5)
        switch shift {
        case nil: try reader.choice("prediction_type", [("trigflow", ())], default: "trigflow")
        case "flow_shift": try reader.choice("prediction_type", [("flow_prediction", ())], default: "epsilon")
        default: try reader.mustBe("use_dynamic_shifting", false, why: "false, a shift that is the same for all sizes")
        }
    }
}

package import StrictJSON

/// Everything that the configuration files of a checkpoint say about its architecture.
package struct SanaSprintConfiguration: Sendable, Equatable {
    package let transformer: TransformerConfiguration
    package let vae: AutoencoderConfiguration?
    package let text: TextEncoderConfiguration?
    package let scheduler: SchedulerConfiguration

    /// Reads the four files; components that are absent are not checked against the others.
    package init(transformer: JSONValue, vae: JSONValue? = nil, textEncoder: JSONValue? = nil, scheduler: JSONValue? = nil) throws(ConfigurationError) {
        self.transformer = try TransformerConfiguration(transformer)
        self.vae = if let vae { try AutoencoderConfiguration(vae) } else { nil }
        text = if let textEncoder { try TextEncoderConfiguration(textEncoder) } else { nil }
        self.scheduler = try SchedulerConfiguration(scheduler ?? [:])
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

/// `scheduler/scheduler_config.json` of diffusers' SCMScheduler.
package struct SchedulerConfiguration: Sendable, Equatable {
    /// Standard deviation of the clean latents.
    package let sigmaData: Double
    /// The most steps the scheduler takes.
    package let maximumSteps: Int

    package init(_ json: JSONValue) throws(ConfigurationError) {
        let reader = try ConfigurationReader(json, subject: "scheduler/scheduler_config.json")
        try reader.choice("_class_name", [("SCMScheduler", ())], default: "SCMScheduler")
        try reader.choice("prediction_type", [("trigflow", ())], default: "trigflow")
        sigmaData = try reader.double("sigma_data", in: 1e-6...1e6, default: 0.5)
        maximumSteps = try reader.int("num_train_timesteps", in: 1...1_000_000, default: 1000)
    }
}

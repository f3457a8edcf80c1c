/// What a kind of pipeline consists of, in the words of its `model_index.json`: class names and folders, no sizes. What its weights are called and
/// how they run is the matter of the rooms behind this one.
struct PipelineFamily: Sendable {
    /// The values of `_class_name` that mean this family.
    let classNames: [String]
    let components: [ComponentRule]

    static let supported: [PipelineFamily] = [.sanaSprint]

    /// Relatives that are easily mistaken for a supported pipeline, and why they are not.
    static let refusals: [String: String] = [
        "SanaPAGPipeline": "perturbed attention guidance is not supported; its weights are those of a SanaPipeline, which is",
        "SanaControlNetPipeline": "this is SANA before distillation; a control network of SANA-Sprint goes beside its base, with --controlnet",
        "SanaVideoPipeline": "video is not supported; only SANA-Sprint is",
    ]

    static func of(_ className: String) -> PipelineFamily? { supported.first { $0.classNames.contains(className) } }

    /// diffusers: pipelines/sana/pipeline_sana_sprint.py, pipeline_sana_sprint_img2img.py, and pipeline_sana.py for what it was distilled from.
    static let sanaSprint = PipelineFamily(
        classNames: ["SanaSprintPipeline", "SanaSprintImg2ImgPipeline", "SanaPipeline"],
        components: [
            ComponentRule(
                name: "transformer",
                // The second is what diffusers' own training script of Sprint calls it, with a weight of the loss beside the model's.
                classNames: ["SanaTransformer2DModel", "SanaTrigFlow"], weights: "diffusion_pytorch_model",
                ignored: TransformerNames.omitted.filter { $0.key.hasPrefix("logvar_linear.") }),
            ComponentRule(name: "vae", classNames: ["AutoencoderDC"], weights: "diffusion_pytorch_model"),
            ComponentRule(
                name: "text_encoder", classNames: ["Gemma2Model", "Gemma2ForCausalLM"], weights: "model",
                // Gemma2ForCausalLM is Gemma2Model under the name "model", and an output head on top of it that encoding a prompt does not use.
                optionalPrefix: "model.", ignored: ["lm_head.weight": "the output head, which encoding a prompt does not use"],
                tie: TiedTensor(name: "embed_tokens.weight", alias: "lm_head.weight", member: "tie_word_embeddings")),
            ComponentRule(
                // Only tokenizer.json says how texts are read; the last two are what transformers calls whatever it reads from one.
                name: "tokenizer", classNames: ["GemmaTokenizerFast", "GemmaTokenizer", "TokenizersBackend", "PreTrainedTokenizerFast"],
                configuration: "tokenizer_config.json",
                // The first is what this tool reads; with the others transformers opens an export.
                others: ["tokenizer.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"]),
            ComponentRule(
                name: "scheduler", classNames: ["SCMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"],
                configuration: "scheduler_config.json"),
            ComponentRule(name: ControlReader.name, classNames: ["SanaControlNetModel"], weights: "diffusion_pytorch_model"),
        ])
}

/// One component of a pipeline: its folder, its classes and where its parts lie.
struct ComponentRule: Sendable {
    /// Key in `model_index.json`, and folder.
    let name: String
    let classNames: [String]
    let configuration: String
    /// Its other small files, by name. What else lies in the folder is not the model's.
    let others: [String]
    /// What the names of its weight files begin with; nil for components without weights.
    let weights: String?
    /// A prefix that some files put before every tensor name.
    let optionalPrefix: String
    /// Tensors that are no part of the model here, by stored name, with why.
    let ignored: [String: String]
    /// A tensor that may be stored under the name of one that is the same.
    let tie: TiedTensor?

    init(
        name: String, classNames: [String], configuration: String = "config.json", others: [String] = [], weights: String? = nil,
        optionalPrefix: String = "", ignored: [String: String] = [:], tie: TiedTensor? = nil
    ) {
        self.name = name
        self.classNames = classNames
        self.configuration = configuration
        self.others = others
        self.weights = weights
        self.optionalPrefix = optionalPrefix
        self.ignored = ignored
        self.tie = tie
    }

    /// A tensor's name without the prefix.
    func unprefixed(_ name: String) -> String {
        guard !optionalPrefix.isEmpty, name.utf8.starts(with: optionalPrefix.utf8) else { return name }
        return String(decoding: name.utf8.dropFirst(optionalPrefix.utf8.count), as: UTF8.self)
    }
}

/// Two names of one tensor; where only `alias` is stored, it is taken for both, unless a member of the configuration says that they differ.
struct TiedTensor: Sendable {
    let name: String
    let alias: String
    let member: String
}

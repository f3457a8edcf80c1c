/// What a kind of pipeline consists of, in the words of its `model_index.json`: class names and folders, no sizes. What its weights are called and
/// how they run is the matter of the rooms behind this one.
struct PipelineFamily: Sendable {
    /// The values of `_class_name` that mean this family.
    let classNames: [String]
    let components: [ComponentRule]

    static let supported: [PipelineFamily] = [.sanaSprint]

    /// Relatives that are easily mistaken for a supported pipeline, and why they are not.
    static let refusals: [String: String] = [
        "SanaPipeline": "this is SANA before distillation; only its few-step successor SANA-Sprint is supported",
        "SanaPAGPipeline": "this is SANA before distillation; only its few-step successor SANA-Sprint is supported",
        "SanaControlNetPipeline": "this is SANA before distillation; a control network of SANA-Sprint goes beside its base, with --controlnet",
        "SanaVideoPipeline": "video is not supported; only SANA-Sprint is",
    ]

    static func of(_ className: String) -> PipelineFamily? { supported.first { $0.classNames.contains(className) } }

    /// diffusers: pipelines/sana/pipeline_sana_sprint.py, pipeline_sana_sprint_img2img.py.
    static let sanaSprint = PipelineFamily(
        classNames: ["SanaSprintPipeline", "SanaSprintImg2ImgPipeline"],
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
                optionalPrefix: "model.", ignored: ["lm_head.weight": "the output head, which encoding a prompt does not use"]),
            ComponentRule(
                name: "tokenizer", classNames: ["GemmaTokenizerFast", "GemmaTokenizer"], configuration: "tokenizer_config.json",
                // The first is what this tool reads; with the others transformers opens an export.
                others: ["tokenizer.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"]),
            ComponentRule(name: "scheduler", classNames: ["SCMScheduler"], configuration: "scheduler_config.json"),
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

    init(
        name: String, classNames: [String], configuration: String = "config.json", others: [String] = [], weights: String? = nil,
        optionalPrefix: String = "", ignored: [String: String] = [:]
    ) {
        self.name = name
        self.classNames = classNames
        self.configuration = configuration
        self.others = others
        self.weights = weights
        self.optionalPrefix = optionalPrefix
        self.ignored = ignored
    }
}

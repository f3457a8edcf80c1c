import Inference
import Operations
import ProbePoints
import StrictJSON
import Tensors

/// What the models are fed to make and to prove a certificate.
struct CertificateInputs: Sendable, Equatable {
    /// The text whose first tokens are read; nil where the file has no tokenizer.
    let prompt: String?
    /// Token ids that the text encoder reads.
    let ids: [Int32]
    let flowTime: Double
    let guidance: Double
    /// Name of the prompt's features that the transformer attends to.
    let features: String

    /// Tokens of a picture, and latent pixels, on a side.
    static let side = 2
    /// Pixels on a side of the maps that the decoder's stages are fed.
    static let mapSide = 3
    /// Names of what the decoder, the encoder and a transformer without a text encoder are fed.
    static let latents = "input.vae"
    static let picture = "input.picture"
    /// Latents of a picture that a control network follows.
    static let control = "input.control"
    private static let noFeatures = "input.features"
    private static let text = "a red circle"
    private static let mostTokens = 5

    init(prompt: String?, ids: [Int32], flowTime: Double, guidance: Double, features: String) {
        self.prompt = prompt
        self.ids = ids
        self.flowTime = flowTime
        self.guidance = guidance
        self.features = features
    }

    /// Chooses them for a model, and adds the tensors among them to `values`.
    init(_ pipeline: SanaSprintPipeline<some Executor>, hasTokenizer: Bool, frozen: FrozenSchedule?, into values: CertificateValues) throws {
        let configuration = pipeline.configuration
        var numbers = TestNumbers(seed: 4)
        prompt = hasTokenizer ? Self.text : nil
        if hasTokenizer {
            ids = try Self.ids(of: Self.text, try pipeline.tokenizer())
        } else {
            let vocabulary = configuration.text?.vocabulary ?? 1
            ids = (0..<Self.mostTokens).map { Int32(($0 * 31 + 2) % vocabulary) }
        }
        // A time within a plan, where noise and picture are mixed.
        let schedule = try frozen ?? FrozenSchedule(steps: ["2"], guidance: [4.5])
        guard let row = schedule.rows.last else { preconditionFailure("a schedule has rows") }
        (flowTime, guidance) = (row.flowTime, row.guidance)
        features = pipeline.has(.textEncoder) ? Probe(.textNorm).name : Self.noFeatures
        if pipeline.has(.transformer) {
            let c = configuration.transformer
            values.add(Probe(.start).name, try numbers.tensor([c.channels, Self.side * c.patch, Self.side * c.patch]))
            if !pipeline.has(.textEncoder) { values.add(Self.noFeatures, try numbers.tensor([Self.mostTokens, c.captionChannels])) }
            if pipeline.has(.controlnet) {
                var numbers = TestNumbers(seed: 5)
                values.add(Self.control, try numbers.tensor([c.channels, Self.side * c.patch, Self.side * c.patch]))
            }
        }
        guard let vae = configuration.vae else { return }
        if pipeline.has(.vaeDecoder) { values.add(Self.latents, try numbers.tensor([vae.latentChannels, Self.mapSide, Self.mapSide])) }
        if pipeline.has(.vaeEncoder) {
            let side = Self.side * vae.compression
            values.add(Self.picture, try numbers.tensor([vae.imageChannels, side, side]))
        }
    }

    /// The first tokens of a text.
    static func ids(of text: String, _ tokenizer: GemmaTokenizer) throws -> [Int32] {
        Array(SanaSprintPrompt(text, tokenizer: tokenizer, withInstruction: false).ids.prefix(mostTokens))
    }

    // MARK: - JSON

    var json: JSONValue {
        [
            "features": .string(features), "flowTime": .number(flowTime), "guidance": .number(guidance), "ids": .array(ids.map { .integer(Int64($0)) }),
            "prompt": prompt.map { .string($0) } ?? .null,
        ]
    }

    init(_ fields: JSONFields) throws(JSONError) {
        var ids: [Int32] = []
        for value in try fields.array("ids") {
            guard let id = value.integer.flatMap({ Int32(exactly: $0) }), id >= 0 else {
                throw .field(subject: "\(fields.subject): ids", expected: "token ids", found: value.text)
            }
            ids.append(id)
        }
        guard (1...64).contains(ids.count) else { throw .field(subject: "\(fields.subject): ids", expected: "1 to 64 of them", found: "\(ids.count)") }
        self.init(
            prompt: fields.value("prompt")?.string, ids: ids, flowTime: try fields.double("flowTime"), guidance: try fields.double("guidance"),
            features: try fields.string("features"))
    }
}

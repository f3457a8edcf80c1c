import ArgumentParser
import Checkpoints
import Files
import StrictJSON

/// How a checkpoint is told beside its path: the same for every verb that takes one, so that what was converted can be verified.
struct CheckpointOptions: ParsableArguments {
    @Option(help: ArgumentHelp("With a checkpoint that is a file of the transformer's weights: the diffusers folder that gives the rest.", valueName: "folder"))
    var base: String?

    @Option(help: ArgumentHelp("Take the transformer's weights from this file instead of the folder.", valueName: "file"))
    var transformer: String?

    @Option(help: ArgumentHelp("Take the autoencoder's weights from this file instead of the folder.", valueName: "file"))
    var vae: String?

    @Option(help: ArgumentHelp("Take the text encoder from this folder of transformers: its config.json and model files.", valueName: "folder"))
    var textEncoder: String?

    @Option(help: ArgumentHelp("A control network: its diffusers folder, or a file of its weights.", valueName: "path"))
    var controlnet: String?

    @Option(help: "How the control network is joined: nvlabs (files in NVlabs' names) or diffusers (all others), unless its configuration says.")
    var controlWiring: ControlWiring?

    @Option(help: "Of a training file: model, the weights of the last step, or ema, their average.")
    var weights: WeightsChoice = .model

    @Option(help: ArgumentHelp("Of a model before distillation: 1000 for SANA and SANA-1.5, 1 for a teacher of SANA-Sprint.", valueName: "1|1000"))
    var timeScale: Int?

    @Option(help: ArgumentHelp("Which variant of a folder's weight files to read, for instance fp16.", valueName: "name"))
    var variant: String?

    @Option(
        help: ArgumentHelp(
            "Add a LoRA's weights, times WEIGHT (1 by default); repeatable. The weight is a number behind the last =, so a name that ends in =2 needs one: name=2=1.",
            valueName: "file[=weight]"))
    var lora: [String] = []

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Leave out tensors of these names, which the model does not need: * and ? stand for what differs. May be given several times.", valueName: "glob"))
    var ignore: [String] = []

    func validate() throws {
        if let timeScale, timeScale != 1, timeScale != 1000 { throw ValidationError("--time-scale: expected 1 or 1000, found \(timeScale)") }
        for word in lora where AdapterSource(word) == nil {
            throw ValidationError("--lora: expected a file, or FILE=WEIGHT with a finite number, found \(word)")
        }
        if base != nil, transformer != nil { throw ValidationError("--base: expected one file of the transformer's weights, found --transformer too") }
        if controlWiring != nil, controlnet == nil { throw ValidationError("--control-wiring: expected --controlnet with it, found none") }
    }

    /// Whether the options are of a checkpoint.
    var areUsed: Bool {
        base != nil || transformer != nil || vae != nil || textEncoder != nil || controlnet != nil || weights != .model || timeScale != nil || variant != nil
            || !lora.isEmpty || !ignore.isEmpty
    }

    private var files: [String: String] {
        ["transformer": transformer, "vae": vae, "controlnet": controlnet.flatMap { Paths.isDirectory($0) ? nil : $0 }].compactMapValues { $0 }
    }

    /// Opens the checkpoint at `path`: a folder of diffusers, or with --base a file.
    /// - Parameters:
    ///   - wanted: the components that have to be there; nil for all that it lists.
    ///   - recorded: patterns to leave out where none are given: those of the conversion that it is held against.
    func open(_ path: String, wanted: Set<String>? = nil, recorded: [String] = []) throws -> Checkpoint {
        var source = CheckpointSource(path)
        (source.base, source.variant, source.files, source.weights) = (base, variant, files, weights)
        source.timeScale = timeScale.map(Double.init)
        source.adapters = lora.compactMap(AdapterSource.init)
        (source.wanted, source.ignored) = (wanted, (ignore.isEmpty ? recorded : ignore).map { Glob($0) })
        source.folders = ["text_encoder": textEncoder, "controlnet": controlnet.flatMap { Paths.isDirectory($0) ? $0 : nil }].compactMapValues { $0 }
        source.wiring = controlWiring
        guard weights == .model || base != nil || !files.isEmpty else {
            throw CommandFailure.usage("--weights: expected a file of weights (--base, --transformer, --vae or --controlnet), found a folder alone")
        }
        let checkpoint = try source.open()
        if !ignore.isEmpty { try checkpoint.checkIgnored() }
        return checkpoint
    }

    /// The options as they were given.
    var words: [String] {
        Shell.option("--base", base) + Shell.option("--transformer", transformer) + Shell.option("--vae", vae)
            + Shell.option("--text-encoder", textEncoder) + Shell.option("--controlnet", controlnet)
            + Shell.option("--control-wiring", controlWiring?.rawValue) + Shell.option("--weights", weights == .model ? nil : weights.rawValue)
            + Shell.option("--time-scale", timeScale.map { "\($0)" }) + Shell.option("--variant", variant) + lora.flatMap { Shell.option("--lora", $0) }
            + ignore.flatMap { ["--ignore", $0] }
    }
}

extension WeightsChoice: ExpressibleByArgument {}
extension ControlWiring: ExpressibleByArgument {}

extension Checkpoint {
    /// What was left out, a line for each reason, and what is read otherwise than it is stored; none where nothing is.
    var omissionLines: [String] {
        var groups: [(component: String, reason: String, names: [String])] = []
        for omission in omissions {
            let index = groups.firstIndex { $0.component == omission.component && $0.reason == omission.reason } ?? groups.endIndex
            if index == groups.endIndex { groups.append((omission.component, omission.reason, [])) }
            groups[index].names.append(omission.name)
        }
        return groups.map { group in
            let names = group.names.prefix(4).map(\.quoted).joined(separator: ", ") + (group.names.count > 4 ? " and \(group.names.count - 4) more" : "")
            return "left out of the \(group.component): \(names): \(group.reason)"
        } + notes
    }

    /// A line for each adapter.
    var adapterLines: [String] {
        adapters.map { "lora: \($0.path.quoted), \($0.summary), weight \($0.source.weight), into \($0.components.joined(separator: ", "))" }
    }

    var adaptersJSON: JSONValue {
        .array(
            adapters.map {
                [
                    "path": .string($0.path), "weight": .number($0.source.weight), "summary": .string($0.summary),
                    "components": .array($0.components.map { .string($0) }),
                ]
            })
    }

    var omissionsJSON: JSONValue {
        .array(omissions.map { ["component": .string($0.component), "name": .string($0.name), "reason": .string($0.reason)] })
    }

    var notesJSON: JSONValue { .array(notes.map { .string($0) }) }
}

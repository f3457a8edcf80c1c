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

    @Option(help: ArgumentHelp("Which variant of a folder's weight files to read, for instance fp16.", valueName: "name"))
    var variant: String?

    func validate() throws {
        if base != nil, transformer != nil { throw ValidationError("--base: expected one file of the transformer's weights, found --transformer too") }
        if controlWiring != nil, controlnet == nil { throw ValidationError("--control-wiring: expected --controlnet with it, found none") }
    }

    /// Whether the options are of a checkpoint.
    var areUsed: Bool { base != nil || transformer != nil || vae != nil || textEncoder != nil || controlnet != nil || weights != .model || variant != nil }

    private var files: [String: String] {
        ["transformer": transformer, "vae": vae, "controlnet": controlnet.flatMap { Paths.isDirectory($0) ? nil : $0 }].compactMapValues { $0 }
    }

    /// Opens the checkpoint at `path`: a folder of diffusers, or with --base a file.
    func open(_ path: String) throws -> Checkpoint {
        var source = CheckpointSource(path)
        (source.base, source.variant, source.files, source.weights) = (base, variant, files, weights)
        source.folders = ["text_encoder": textEncoder, "controlnet": controlnet.flatMap { Paths.isDirectory($0) ? $0 : nil }].compactMapValues { $0 }
        source.wiring = controlWiring
        guard weights == .model || base != nil || !files.isEmpty else {
            throw CommandFailure.usage("--weights: expected a file of weights (--base, --transformer, --vae or --controlnet), found a folder alone")
        }
        return try source.open()
    }

    /// The options as they were given.
    var words: [String] {
        Shell.option("--base", base) + Shell.option("--transformer", transformer) + Shell.option("--vae", vae)
            + Shell.option("--text-encoder", textEncoder) + Shell.option("--controlnet", controlnet)
            + Shell.option("--control-wiring", controlWiring?.rawValue) + Shell.option("--weights", weights == .model ? nil : weights.rawValue)
            + Shell.option("--variant", variant)
    }
}

extension WeightsChoice: ExpressibleByArgument {}
extension ControlWiring: ExpressibleByArgument {}

extension Checkpoint {
    /// What was left out, a line for each reason; none where nothing was.
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
        }
    }

    var omissionsJSON: JSONValue {
        .array(omissions.map { ["component": .string($0.component), "name": .string($0.name), "reason": .string($0.reason)] })
    }
}

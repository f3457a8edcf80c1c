import ArgumentParser
import Conversion
import PackedFiles
import StrictJSON
import Tensors

/// `sprintpack export`: a packed file becomes a diffusers folder again.
struct Export: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Write a .sprint file back as a diffusers folder of safetensors, dequantized.",
        discussion: """
            EXAMPLES:
              sprintpack export sana.sprint -o sana-diffusers
              sprintpack export tiny-bf16.sprint -o same-as-the-source

            What was stored without loss comes back bit for bit.
            """)

    @Argument(help: ArgumentHelp("The packed file.", valueName: "file.sprint"))
    var file: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to make.", valueName: "folder"))
    var output: String

    @Flag(help: "Replace an earlier export of that name, if nothing in it was added or changed.")
    var force = false

    @OptionGroup var common: CommonOptions
}

extension Export {
    func validate() throws { try OutputName.check("-o", output) }

    func execute() throws -> Outcome {
        let source = try PackedFile.open(file)
        try Memory.check(available: Exporter.memoryNeeded(source))
        let bar = common.progress("export")
        try Exporter.run(source, to: output, replace: force, tool: Version.tool) { done, total in bar.update(done, of: total) }
        bar.finish()
        let adapters = source.directory.adapters.map(\.path)
        let added = adapters.isEmpty ? "" : ", with \(adapters.joined(separator: ", ")) in its weights"
        return Outcome(
            text: "\(output)  \(source.directory.tensors.count) packed tensors written back as a diffusers folder\(added)",
            json: [
                "output": .string(output), "tensors": JSONValue(source.directory.tensors.count), "adapters": .array(adapters.map { .string($0) }),
            ], outputs: [output])
    }
}

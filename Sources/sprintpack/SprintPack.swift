import ArgumentParser
import Tensors

/// The root command: a table of contents.
struct SprintPack: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sprintpack",
        abstract: "Convert, verify and run SANA-Sprint checkpoints.",
        discussion: """
            EXAMPLES:
              sprintpack convert sana-1.6b-diffusers -o sana.sprint --preset int8
              sprintpack generate sana.sprint --prompt "a lighthouse" -o light.png

            EXIT CODES:
              0    ok
              1    it ran, but parity or verification failed, or the file is
                   not as good as --min-sqnr asks
              2    it could not: a file cannot be read, parsed or written
              64   usage
              130  interrupted; nothing is left behind
            """,
        version: Version.text,
        subcommands: [Convert.self, Calibrate.self, Inspect.self, Verify.self, Generate.self, Compare.self, Export.self, Bench.self])
}

/// Options that every verb has.
struct CommonOptions: ParsableArguments {
    @Flag(help: "Print one JSON object on standard output, on failure too.")
    var json = false

    @Flag(name: .shortAndLong, help: "No progress bar and no summary; errors and warnings only.")
    var quiet = false

    func progress(_ title: String, unit: ProgressBar.Unit = .bytes) -> ProgressBar {
        ProgressBar(title, unit: unit, isShown: !quiet)
    }
}

/// The number of threads, where a verb computes.
struct ThreadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Threads to compute with; the machine's processors by default.", valueName: "n"))
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads: expected 1 to 1024, found \(threads)") }
    }
}

extension ThreadOptions {
    func apply() {
        if let threads { Parallel.use(threads: threads) }
    }
}

/// Names of files to write.
enum OutputName {
    /// Refuses the dash that stands for standard output, where only a picture can go.
    static func check(_ option: String, _ path: String?) throws {
        guard path == "-" else { return }
        throw ValidationError("\(option): expected the name of a file, found -, standard output, where only generate writes (its picture); ./- is such a name")
    }
}

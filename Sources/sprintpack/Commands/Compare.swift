import ArgumentParser
import Parity

/// `sprintpack compare`: two traces, probe by probe.
struct Compare: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Compare two traces probe by probe and name the first one that is off.",
        discussion: """
            EXAMPLES:
              sprintpack compare torch.safetensors ours.safetensors
              sprintpack compare torch64.safetensors ours.safetensors --html r.html

            A trace is a safetensors file with the probe names of Formats/trace.md; any engine can write one.
            """)

    @Argument(help: ArgumentHelp("The trace that is right.", valueName: "reference.safetensors"))
    var reference: String

    @Argument(help: ArgumentHelp("The trace to judge.", valueName: "other.safetensors"))
    var other: String

    @Option(
        help: ArgumentHelp(
            "With a float64 reference: a float32 trace of the same program, twice whose own error is allowed.", valueName: "trace.safetensors"))
    var yardstick: String?

    @Option(help: ArgumentHelp("Write the report as a page.", valueName: "report.html"))
    var html: String?

    @OptionGroup var common: CommonOptions
}

extension Compare {
    func execute() throws -> Outcome {
        let comparison = try TraceComparison.compare(
            reference: TraceFile.open(reference), other: TraceFile.open(other), yardstick: yardstick.map { try TraceFile.open($0) })
        let report = comparison.report(
            environment: Version.environment, command: "sprintpack compare \(reference) \(other)", encodePNG: ParityReport.png)
        return try report.deliver(common, html: html, inputs: [comparison.reference.identity, comparison.other.identity])
    }
}

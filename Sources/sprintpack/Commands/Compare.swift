import ArgumentParser
import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Parity
import Proof
import Safetensors
import Tensors

/// `sprintpack compare`: two traces, probe by probe.
struct Compare: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Compare two traces probe by probe and name the first one that is off.",
        discussion: """
            EXAMPLES:
              sprintpack compare torch64.safetensors ours.safetensors --html r.html
              sprintpack compare torch.safetensors engine.safetensors --with sana.sprint

            With --with every step of the compared trace is computed again from that step's own inputs: the steps that are wrong are named, and
            where making a known mistake on purpose gives the trace's values, so is the mistake.

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

    @Option(help: ArgumentHelp("The model that both traces are of: a packed file or a checkpoint.", valueName: "file.sprint|checkpoint"))
    var with: String?

    @Option(help: ArgumentHelp("Write the report as a page.", valueName: "report.html"))
    var html: String?

    @OptionGroup var checkpointOptions: CheckpointOptions
    @OptionGroup var common: CommonOptions
}

extension Compare {
    func validate() throws {
        try OutputName.check("--html", html)
        if with == nil, checkpointOptions.areUsed { throw ValidationError("--with: expected the checkpoint that the options are of, found none") }
    }

    func execute() throws -> Outcome {
        let (right, judged) = (try TraceFile.open(reference), try TraceFile.open(other))
        let weights = try with.map { try openWeights($0) }
        let page = try ReportPage(html, inputs: [right.identity, judged.identity] + (weights?.1 ?? []))
        try Memory.check(
            available: MemoryStatement.comparison(largestProbe: max(right.largestProbe, judged.largestProbe), weights: weights?.0, on: .best))
        let comparison = try TraceComparison.compare(reference: right, other: judged, yardstick: yardstick.map { try TraceFile.open($0) })
        let command = Shell.command(
            ["sprintpack", "compare", reference, other] + Shell.option("--yardstick", yardstick) + Shell.option("--with", with)
                + checkpointOptions.words + Shell.option("--html", html))
        var report = comparison.report(environment: Version.environment, command: command, encodePNG: ParityReport.png)
        if let (weights, _) = weights { report.add(try Bisection(reference: right, other: judged, weights: weights, on: .best), to: comparison) }
        return try report.outcome(page)
    }

    /// The weights of a packed file, or a checkpoint's own.
    private func openWeights(_ path: String) throws -> (any WeightSource, [FileIdentity]) {
        guard Paths.isDirectory(path) || checkpointOptions.areUsed else {
            let file = try PackedFile.open(path)
            return (try PackedWeights(file), [file.identity])
        }
        let checkpoint = try checkpointOptions.open(path)
        return (try CheckpointWeights(checkpoint), checkpoint.inputIdentities)
    }
}

import ArgumentParser
import Conversion
import Inference

/// Which parts of a checkpoint a verb is about.
struct ComponentOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Which parts to pack, separated by commas: \(Component.allCases.map(\.rawValue).joined(separator: ", ")), or all.", valueName: "list"))
    var components: String?

    /// Nil where nothing was said.
    func selection() throws -> ComponentSelection? {
        try components.map { list in
            do throws(ConversionError) { return try ComponentSelection(list) } catch { throw CommandFailure.usage("--components: \(error)") }
        }
    }
}

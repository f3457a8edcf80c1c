import ArgumentParser
import Glibc
import StrictJSON
import Tensors

/// The entry: decodes the arguments, runs the verb, prints its result and maps errors to exit codes.
@main enum Program {
    static func main() {
        Console.holdStandardDescriptors()
        Memory.useOneHeap()
        Interrupts.install()
        guard let arguments = decodedArguments() else {
            Console.say("sprintpack: error: an argument is not valid UTF-8; expected a prompt and paths in UTF-8, check the locale of the terminal or script")
            exit(ExitStatus.usage.rawValue)
        }
        exit(run(arguments).rawValue)
    }

    private static func run(_ arguments: [String]) -> ExitStatus {
        let wantsJSON = arguments.prefix { $0 != "--" }.contains("--json")
        do {
            var command = try SprintPack.parseAsRoot(arguments)
            guard let verb = command as? any Verb else {
                try command.run()
                return .ok
            }
            let outcome = try verb.execute()
            let text = wantsJSON ? report(ok: outcome.status == .ok, outcome.json) : verb.common.quiet ? "" : outcome.text
            return Console.result(text, data: outcome.data, outputs: outcome.outputs) ? outcome.status : .couldNot
        } catch {
            let exitCode = SprintPack.exitCode(for: error)
            if exitCode == .success {  // --help, --version
                return Console.result(SprintPack.message(for: error)) ? .ok : .couldNot
            }
            let failure = CommandFailure(error, usageMessage: SprintPack.fullMessage(for: error), isUsage: exitCode == .validationFailure)
            if wantsJSON {
                _ = Console.result(report(ok: false, ["error": ["status": .init(Int(failure.status.rawValue)), "message": .string(failure.description)]]))
            }
            Console.say(failure.status == .usage && exitCode == .validationFailure ? failure.description : "sprintpack: error: \(failure.description)")
            return failure.status
        }
    }

    /// `{"ok": ..., ...}`: the one object `--json` prints.
    private static func report(ok: Bool, _ content: JSONObject) -> String {
        var object = JSONObject([("ok", .bool(ok))])
        for (key, value) in content.members { _ = object.append(key, value) }
        return JSONValue.object(object).text
    }

    /// The arguments without the program's name, or nil where one is not UTF-8. `CommandLine.arguments` would repair it silently,
    /// and a repaired prompt draws another picture.
    private static func decodedArguments() -> [String]? {
        var arguments: [String] = []
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let bytes = unsafe CommandLine.unsafeArgv[index], let argument = unsafe String(validatingCString: bytes) else { return nil }
            arguments.append(argument)
        }
        return arguments
    }
}

extension CommandFailure {
    /// What an error of any room means for the caller: usage errors are 64, everything else could not be done.
    fileprivate init(_ error: any Error, usageMessage: String, isUsage: Bool) {
        if let failure = error as? CommandFailure {
            self = failure
        } else if isUsage {
            self = .usage(usageMessage)
        } else {
            self = .couldNot("\(error)")
        }
    }
}

/// What a verb leaves behind.
struct Outcome {
    var status = ExitStatus.ok
    /// The result for people.
    var text: String
    /// The content of the JSON object that `--json` prints instead.
    var json: JSONObject
    /// What goes to standard output itself; the text then goes to standard error.
    var data: [UInt8]?
    /// The files and folders that are complete.
    var outputs: [String] = []
}

/// A command of the tool.
///
/// To add one: a file of `Commands` whose help begins with two examples and whose result is an `Outcome`, its place in `SprintPack`, and a row of
/// the README's table of verbs. Errors, exit codes, `--json` and `--quiet` follow; `UsageTests` hold it to that.
protocol Verb: ParsableCommand {
    var common: CommonOptions { get }
    func execute() throws -> Outcome
}

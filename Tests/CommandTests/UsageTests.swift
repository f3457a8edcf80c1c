import Foundation
import StrictJSON
import TestKit
import Testing

/// Words and exit codes that no file could change.
@Suite struct UsageTests {
    static let verbs = ["convert", "calibrate", "inspect", "verify", "generate", "compare", "export", "bench"]

    @Test(arguments: verbs) func helpStartsWithTwoExamples(verb: String) throws {
        let result = try Tool.run([verb, "--help"])
        #expect(result.status == 0)
        #expect(result.errors.isEmpty)
        let beforeUsage = result.output.components(separatedBy: "USAGE:").first ?? ""
        #expect(beforeUsage.contains("EXAMPLES:"))
        #expect(beforeUsage.components(separatedBy: "\n  sprintpack \(verb) ").count == 3)
    }

    @Test func helpOfTheToolListsVerbsAndExitCodes() throws {
        let result = try Tool.run(["--help"])
        #expect(result.status == 0)
        for verb in Self.verbs { #expect(result.output.contains("  \(verb) ")) }
        for line in ["0    ok", "1    it ran, but parity or verification failed", "2    it could not", "64   usage", "130  interrupted"] {
            #expect(result.output.contains("\n  \(line)"))
        }
    }

    @Test func theREADMEHasARowForEachVerb() throws {
        let help = try Tool.run(["--help"]).output
        let listed = help.components(separatedBy: "SUBCOMMANDS:")[1].components(separatedBy: "\n\n")[0].matches(of: /\n  ([a-z]+)\s/).map { String($0.1) }
        let readme = try String(contentsOfFile: Fixtures.path("../../README.md"), encoding: .utf8)
        #expect(listed == Self.verbs && readme.matches(of: /\n\| `([a-z]+) [^`]*` \|/).map { String($0.1) } == Self.verbs)
    }

    @Test func versionNamesFormatKernelsAndBLAS() throws {
        let result = try Tool.run(["--version"])
        #expect(result.status == 0)
        #expect(result.output.wholeMatch(of: /sprintpack \d+\.\d+\.\d+ \(format \d+\.\d+, kernels [A-Za-z0-9 -]+, BLAS \w+\)\n/) != nil, "\(result.output)")
    }

    @Test(arguments: [
        ["convert", "folder"],
        ["convert", "folder", "-o", "x.sprint", "--preset", "int5"],
        ["convert", "folder", "-o", "x.sprint", "--components", "transformer,engine"],
        ["convert", "folder", "-o", "x.sprint", "--components", "transformer,"],
        ["convert", "folder", "-o", "x.sprint", "--max-memory", "lots"],
        ["convert", "folder", "-o", "x.sprint", "--freeze-steps", "1,,2"],
        ["convert", "folder", "-o", "x.sprint", "--freeze-steps", "0"],
        ["convert", "folder", "-o", "x.sprint", "--freeze-steps", "2,2"],
        ["convert", "folder", "-o", "x.sprint", "--freeze-steps", "paper5"],
        ["convert", "folder", "-o", "x.sprint", "--freeze-steps", "2", "--freeze-guidance", "much"],
        ["convert", "folder", "-o", "x.sprint", "--freeze-guidance", "4.5"],
        ["convert", "folder", "-o", "x.sprint", "--threads", "0"],
        ["convert", "folder", "-o", "x.sprint", "--min-sqnr", "much"],
        ["convert", "folder", "-o", "x.sprint", "--min-sqnr", "nan"],
        ["convert", "folder", "-o", "x.sprint", "--min-sqnr", "40", "--no-quality"],
        ["convert", "folder", "--dry-run", "--min-sqnr", "40"],
        ["convert", "folder", "--dry-run", "--target-size", "3GB"],
        ["convert", "folder", "-o", "x.sprint", "--target-size", "big"],
        ["convert", "folder", "-o", "x.sprint", "--target-size", "3GB", "--preset", "int8"],
        ["convert", "folder", "-o", "x.sprint", "--target-size", "3GB", "--calibration", "none"],
        ["verify", "x.sprint", "--min-sqnr", "-3"],
        ["generate", "x.sprint", "--prompt", "a", "--steps", "0", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--steps", "1001", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--steps", "2", "--timesteps", "paper4", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--timesteps", "1.5,1.6,0", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--timesteps", "1.5,0.3", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--guidance", "nan", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--width", "0", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--seed", "soon", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a", "--prompts", "list.txt", "-o", "x.png"],
        ["convert", "folder", "-o", "-"],
        ["generate", "x.sprint", "--prompt", "a", "--text-from-inputs", "-o", "x.png"],
        ["generate", "x.sprint", "-o", "x.png"],
        ["generate", "x.sprint", "--prompt", "a"],
        ["paint", "x.sprint"],
        ["compare", "one.safetensors"],
    ])
    func wrongOptionsAreUsageErrors(arguments: [String]) throws {
        let result = try Tool.run(arguments)
        #expect(result.status == 64, "\(result.errors)")
        #expect(result.output.isEmpty)
        #expect(result.errors.hasPrefix("Error: ") || result.errors.hasPrefix("sprintpack: error: "), "\(result.errors)")
        let json = try Tool.run(arguments + ["--json"])
        #expect(json.status == 64)
        #expect(try json.json()["ok"] == false)
        #expect(try json.json()["error"]?["status"] == 64)
    }

    @Test func anArgumentThatIsNotUTF8IsRefused() throws {
        let result = try Tool.shell(#""$TOOL" generate x.sprint --prompt "$(printf 'a \377 circle')" -o x.png"#)
        #expect(result.status == 64)
        #expect(result.errors.contains("not valid UTF-8"))
    }
}

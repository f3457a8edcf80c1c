import CFuzzer
import Files
import FuzzKit
import Glibc

/// Runs one parser under libFuzzer: `fuzz PARSER CORPUS [libFuzzer's options]`; without arguments it lists the parsers.
@main struct Fuzz {
    private static let chosen = ParserUnderFuzz.all.first { $0.name == CommandLine.arguments.dropFirst().first }

    static func main() throws {
        guard let parser = chosen, CommandLine.arguments.count > 2 else {
            for parser in ParserUnderFuzz.all { print(parser.name) }
            exit(CommandLine.arguments.count > 1 ? 64 : 0)
        }
        let corpus = CommandLine.arguments[2]
        if !Paths.exists(corpus) { try Paths.makeDirectory(corpus) }
        for (number, seed) in try parser.seeds().enumerated() {
            let path = Paths.join(corpus, "seed-\(number)")
            guard !Paths.exists(path) else { continue }
            let file = try OutputFile(path: path, replace: false)
            try file.write(seed)
            try file.commit()
        }
        // libFuzzer is given the program's name, the corpus and its own options.
        var arguments: [UnsafeMutablePointer<CChar>?] =
            unsafe ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { unsafe strdup($0) } + [nil]
        unsafe arguments.withUnsafeMutableBufferPointer { buffer in
            var (count, base) = unsafe (CInt(buffer.count - 1), buffer.baseAddress)
            exit(unsafe LLVMFuzzerRunDriver(&count, &base, one))
        }
    }

    private static let one: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt = { bytes, count in
        let input = unsafe [UInt8](UnsafeBufferPointer(start: bytes, count: count))
        do { _ = try chosen?.outcome(of: input) } catch { preconditionFailure("\(error)") }
        return 0
    }
}

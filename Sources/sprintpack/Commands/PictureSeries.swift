import ArgumentParser
import Files
import Inference
import Tensors

/// What `generate` draws: each prompt with each seed, prompts first, and the file that each picture goes to.
struct PictureSeries {
    struct Item {
        let request: GenerationRequest
        let output: String
    }

    let items: [Item]
    /// More names than this in one folder were a mistake of counting.
    private static let most = 10_000

    /// - Parameters:
    ///   - request: what all pictures have in common; its prompt and noise where none are given.
    ///   - output: the name of the one picture. Of several, `a.png` becomes `a-1.png`, `a-2.png`, with as many digits as the last one needs.
    init(_ request: GenerationRequest, prompts: [String], seeds: [SeedWord], output: String) throws {
        let prompts = prompts.isEmpty ? [request.prompt] : prompts
        let noises = seeds.isEmpty ? [request.noise] : seeds.map { .seed($0.seed) }
        let count = prompts.count * noises.count
        guard count <= Self.most else {
            throw CommandFailure.usage("expected at most \(Self.most) pictures, found \(count): each prompt is drawn with each seed")
        }
        guard count == 1 || output != "-" else { throw CommandFailure.usage("-o: expected the name of a file for \(count) pictures, found -, where one fits") }
        var items: [Item] = []
        for prompt in prompts {
            for noise in noises {
                var request = request
                (request.prompt, request.noise) = (prompt, noise)
                items.append(Item(request: request, output: count == 1 ? output : Self.name(output, items.count + 1, of: count)))
            }
        }
        self.items = items
    }

    static func name(_ output: String, _ number: Int, of count: Int) -> String {
        let digits = "\(number)"
        let padded = String(repeating: "0", count: "\(count)".count - digits.count) + digits
        guard output.lowercased().hasSuffix(".png") else { return "\(output)-\(padded)" }
        return "\(output.dropLast(4))-\(padded)\(output.suffix(4))"
    }
}

/// A seed as it is given: a number as torch takes one, or a word for one that is drawn.
enum SeedWord: Equatable {
    case given(UInt64)
    case random

    /// Nil for what is neither.
    ///
    /// -1 stands for a random one, as in other programs that draw; any other negative number is what `torch.manual_seed` makes of it, 2^64 more.
    init?(_ text: Substring) {
        if text == "random" || text == "-1" {
            self = .random
        } else if let seed = UInt64(text) ?? Int64(text).map({ UInt64(bitPattern: $0) }) {
            self = .given(seed)
        } else {
            return nil
        }
    }

    /// The seeds of a list separated by commas.
    static func list(_ text: String) throws -> [SeedWord] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { word in
            guard let seed = SeedWord(word) else {
                throw ValidationError("--seed: expected an integer of up to 64 bits, or random, or several separated by commas, found \(text)")
            }
            return seed
        }
    }

    /// A number that says it again. torch uses the low 32 bits, so that no more are drawn.
    var seed: UInt64 {
        switch self {
        case .given(let seed): seed
        case .random: UInt64(UInt32.random(in: 0...UInt32.max))
        }
    }
}

extension Engine {
    /// An engine for so many pictures: of several, it holds the whole model between them where that takes at most half of what is left where it computes.
    /// - Parameter free: what is left of the executor's own memory; nil where it computes in the machine's.
    static func forSeries(_ pipeline: SanaSprintPipeline<E>, of items: [PictureSeries.Item], free: Int?) throws -> Engine {
        let single = Engine(pipeline)
        guard items.count > 1, let available = free ?? AvailableMemory.now()?.byteCount else { return single }
        let holding = Engine(pipeline, residentBytes: .max)
        let statement = try holding.memoryStatement(items[0].request)
        return statement.ownBytes ?? statement.byteCount <= available / 2 ? holding : single
    }
}

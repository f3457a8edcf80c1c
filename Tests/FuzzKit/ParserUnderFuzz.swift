/// A parser as the fuzzers run it: on the bytes of a file that may say anything.
package struct ParserUnderFuzz: Sendable {
    package let name: String
    /// Inputs that it reads, to start from.
    package let seeds: @Sendable () throws -> [[UInt8]]
    /// Reads an input: returns where it was accepted, and throws one of its room's errors where it was refused.
    /// - Throws: `Unsound` where what was accepted breaks what the parser promises.
    package let read: @Sendable ([UInt8]) throws -> Void

    package static let all = texts + tensorFiles + torchFiles + packedFiles + pictures
}

/// Something was accepted that is not as it was said to be.
package struct Unsound: Error, CustomStringConvertible {
    package let description: String

    /// Throws unless the condition holds.
    static func unless(_ condition: Bool, _ description: @autoclosure () -> String) throws {
        guard condition else { throw Unsound(description: description()) }
    }
}

extension ParserUnderFuzz {
    /// What became of an input.
    package enum Outcome: Equatable {
        case accepted
        case refused(String)
    }

    /// Reads an input. Whatever its room says of it is fine; nothing else is.
    package func outcome(of input: [UInt8]) throws -> Outcome {
        do {
            try read(input)
            return .accepted
        } catch let error as Unsound {
            throw error
        } catch {
            let text = "\(error)"
            try Unsound.unless(!text.isEmpty && text.utf8.count < 1 << 16, "\(name): an error of \(text.utf8.count) bytes")
            return .refused(text)
        }
    }
}

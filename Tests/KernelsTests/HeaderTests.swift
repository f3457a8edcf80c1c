import Files
import Foundation
import TestKit
import Testing

/// What the headers of CKernels promise: a reader finds a function by its section, and nothing is exported that only tests call.
@Suite struct HeaderTests {
    private static let sources = Paths.join(Paths.parent(of: Paths.parent(of: Paths.parent(of: #filePath))), "Sources")
    private static let kernels = Paths.join(sources, "CKernels")

    /// Names of files below a folder, relative to it, and their text.
    private static func files(below folder: String, _ suffixes: [String]) -> [String: String] {
        let names = (FileManager.default.enumerator(atPath: folder)?.allObjects ?? []).compactMap { $0 as? String }
        let wanted = names.filter { name in suffixes.contains { name.hasSuffix($0) } }
        return Dictionary(
            uniqueKeysWithValues: wanted.compactMap { name in (try? String(contentsOfFile: Paths.join(folder, name), encoding: .utf8)).map { (name, $0) } })
    }

    private struct Export {
        let name: String, isFunction: Bool, isInline: Bool, section: [String], header: String
    }

    /// A section begins with a comment `// ----`, which names its files, and ends with the next one.
    private static func exports(_ header: String, _ text: String) -> (exports: [Export], sections: [[String]]) {
        var (exports, sections, section, isTitle) = ([Export](), [[String]](), [String](), false)
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("// ----") { (section, isTitle) = ([], true) }
            if isTitle {
                section += line.matches(of: /[a-z0-9]+\/[a-z0-9_]+\.c\b/).map { String($0.output) }
                guard line.hasPrefix("//") else {
                    isTitle = false
                    sections.append(section)
                    continue
                }
            }
            guard !line.hasPrefix("//") else { continue }
            if let match = line.firstMatch(of: /^(static inline )?[a-z][a-z0-9_ ]*[ *](ck_[a-z0-9_]+)\(/) {
                exports.append(
                    Export(name: String(match.2), isFunction: true, isInline: match.1 != nil, section: section, header: header))
            } else if let match = line.firstMatch(of: /^} (ck_[a-z0-9_]+);|\b(CK_[A-Z0-9_]+) =/), let name = match.1 ?? match.2 {
                exports.append(Export(name: String(name), isFunction: false, isInline: false, section: section, header: header))
            }
        }
        return (exports, sections)
    }

    /// Names that begin a line, as functions do where they are defined: `name(` or, where a macro makes one, `MACRO(name,`.
    private static func defined(in text: String) -> Set<String> {
        Set(
            text.split(separator: "\n").filter { line in
                line.first?.isLetter == true && !line.hasSuffix(";") && !line.hasPrefix("static ") && !line.contains(" static ")
            }.compactMap { line in line.firstMatch(of: /^(?:[A-Z_0-9]+\(|[^(]*\b)(ck_[a-z0-9_]+)[(,]/).map { String($0.1) } })
    }

    private let code = Self.files(below: Self.kernels, [".c"])
    private let headers = Self.files(below: Self.kernels, [".h"])
    private let swift = Self.files(below: Self.sources, [".swift"]).values.joined(separator: "\n")
    private var exported: [(exports: [Export], sections: [[String]])] {
        headers.filter { $0.key.hasPrefix("include/") }.map { Self.exports($0.key, $0.value) }
    }

    @Test func eachSourceFileHasOneSection() {
        let named = exported.flatMap(\.sections).flatMap { $0 }
        #expect(named.sorted() == code.keys.sorted())
        #expect(exported.flatMap(\.sections).allSatisfy { !$0.isEmpty })
    }

    @Test func eachFunctionIsDeclaredInTheSectionOfTheFileThatDefinesIt() {
        let functions = exported.flatMap(\.exports).filter(\.isFunction)
        #expect(functions.count > 40)
        for function in functions where !function.isInline {
            let places = code.filter { Self.defined(in: $0.value).contains(function.name) }.map(\.key)
            #expect(places.count == 1 && function.section.contains(places[0]), "\(function.name), declared in \(function.header): defined in \(places)")
        }
    }

    @Test func eachExportIsUsedByTheProduct() {
        let words = Set(swift.matches(of: /\b[cC][kK]_[A-Za-z0-9_]+/).map { String($0.output) })
        let ownWords = Set(code.values.joined(separator: "\n").matches(of: /\bCK_[A-Z0-9_]+/).map { String($0.output) })
        for export in exported.flatMap(\.exports) {
            #expect(words.contains(export.name) || ownWords.contains(export.name), "\(export.name) of \(export.header) is used by no file of Sources")
        }
    }

    /// A function that files share inside of CKernels is declared in a header of theirs and called by another file.
    @Test func noSharedFunctionIsDead() {
        let names = Set(exported.flatMap(\.exports).map(\.name))
        var shared = 0
        for (file, text) in code {
            for name in Self.defined(in: text).subtracting(names) {
                shared += 1
                let declared = headers.contains { !$0.key.hasPrefix("include/") && $0.value.contains("\(name)(") }
                let called = code.contains { $0.key != file && $0.value.contains(name) }
                #expect(declared && called, "\(name) of \(file)")
            }
        }
        #expect(shared > 10)
    }
}

/// A `tokenizer.json` with 256,000 pieces and 543,840 merges in the form of Gemma's: what Tests/Fixtures/oracle/synthetic_vocabulary.py
/// writes, byte for byte. The recipe makes twenty megabytes out of nothing, so that they need not be kept.
enum SyntheticVocabulary {
    private static let alphabet = Array("▁\nabcdefghijklmnopqrstuvwxyz0123456789.,'-!?éüñßαβσςжя漢字の😀🎨\u{301}".unicodeScalars)
    private static let special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    /// Length in characters, how many pieces of that length, and the factor that shuffles them.
    private static let lengths = [(2, 3600, 1327), (3, 216_000, 79_999), (4, 36_080, 4_999_999)]

    static func json() -> [UInt8] {
        let letters = alphabet.map { Array(($0 == "\n" ? "\\n" : String($0)).utf8) }
        let pieces = lengths.flatMap { length, count, factor in (0..<count).map { digits(of: $0 * factor, length: length) } }

        var json: [UInt8] = []
        func write(_ text: String) { json.append(contentsOf: text.utf8) }
        func write(_ piece: ArraySlice<Int>) {
            json.append(UInt8(ascii: "\""))
            for digit in piece { json.append(contentsOf: letters[digit]) }
            json.append(UInt8(ascii: "\""))
        }

        let added = special.enumerated().map { id, name in
            #"{"id":\#(id),"content":"\#(name)","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}"#
        }
        write(#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[\#(added.joined(separator: ","))],"#)
        write(#""normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"#)
        write(#""pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false},"#)
        write(#""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<bos>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"#)
        write(#""pair":[{"SpecialToken":{"id":"<bos>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"#)
        write(#""special_tokens":{"<bos>":{"id":"<bos>","ids":[2],"tokens":["<bos>"]}}},"#)
        write(#""decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},"#)
        write(#"{"type":"ByteFallback"},{"type":"Fuse"}]},"#)
        write(#""model":{"type":"BPE","dropout":null,"unk_token":"<unk>","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,"#)
        write(#""byte_fallback":true,"ignore_merges":false,"vocab":{"#)

        var id = 0
        func nextID() -> Int {
            defer { id += 1 }
            return id
        }
        for name in special + (0..<256).map({ "<0x\($0 < 16 ? "0" : "")\(String($0, radix: 16, uppercase: true))>" }) {
            write("\(id == 0 ? "" : ",")\"\(name)\":\(nextID())")
        }
        for piece in pieces + alphabet.indices.map({ [$0] }) {
            write(",")
            write(piece[...])
            write(":\(nextID())")
        }
        write(#"},"merges":["#)
        // All pieces of three characters and less exist, so every cut of a piece is a merge.
        var isFirst = true
        for piece in pieces {
            for cut in 1..<piece.count {
                write(isFirst ? "[" : ",[")
                isFirst = false
                write(piece[..<cut])
                write(",")
                write(piece[cut...])
                write("]")
            }
        }
        write("]}}")
        return json
    }

    /// The digits of a number in the base of the alphabet's size, the lowest last, those that do not fit left out.
    private static func digits(of number: Int, length: Int) -> [Int] {
        var rest = number
        var digits = [Int](repeating: 0, count: length)
        for position in digits.indices.reversed() {
            digits[position] = rest % alphabet.count
            rest /= alphabet.count
        }
        return digits
    }
}

import Inference
import Testing

struct PromptTextTests {
    @Test("valid UTF-8 comes through unchanged, byte for byte", arguments: ["", "a red circle", "e\u{301}\u{E9}", "漢字😀", "a\0b", "\u{FEFF}x"])
    func valid(text: String) throws {
        #expect(Array(try PromptText.decode(Array(text.utf8)).utf8) == Array(text.utf8))
    }

    @Test(
        "anything else is an error that says where",
        arguments: [
            ([0x61, 0xFF], 1), ([0xC0, 0x80], 0), ([0x61, 0x62, 0xED, 0xA0, 0x80], 2), ([0xF4, 0x90, 0x80, 0x80], 0), ([0xE2, 0x82], 0), ([0x61, 0x80], 1),
        ] as [([UInt8], Int)])
    func invalid(bytes: [UInt8], offset: Int) {
        #expect(throws: TextError.notUTF8(offset: offset)) { try PromptText.decode(bytes) }
    }
}

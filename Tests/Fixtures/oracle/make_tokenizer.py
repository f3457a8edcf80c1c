#!/usr/bin/env python3
"""Write ../tokenizer: the ids that Hugging Face tokenizers gives for many strings, with two vocabularies.

Ids include the leading <bos>. The strings are the same on every run; synthetic-256k is built in a temporary folder.
"""
import pathlib
import random
import tempfile
import unicodedata

from tokenizers import Tokenizer

from fixture_json import write_json
from grammar import prompts
from reference import INSTRUCTION
from synthetic_vocabulary import ALPHABET, write

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
OUT = FIXTURES / "tokenizer"
PREFIX = "\n".join(INSTRUCTION)
SPECIALS = ["<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", "<unused0>", "<0x41>", "<0x0A>", "<BOS>", "< bos>", "<bos", "\u2581"]
EMOJI = ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd",
         "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f9d1\U0001f3ff\u200d\U0001f680"]
WORDS = ["\u7ea2\u8272\u7684\u5706\u5f62", "\u8d64\u3044\u4e38\u3001\u9752\u3044\u80cc\u666f", "\ube68\uac04 \uc6d0", "\u1112\u1161\u11ab\uae00", "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m",
         "\u1e69\u0323 \u1ec7\u0302", "\u0391\u0392\u0393\u0394 \u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 \u03a3", "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c2",
         "\u0130stanbul \u0131\u015f\u0131k I\u0307", "\u041a\u0440\u0430\u0441\u043d\u044b\u0439 \u043a\u0440\u0443\u0433", "\u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea",
         "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e44\u0e17\u0e22\u0e33", "\ufb01\ufb00\ufb03 \u2460 \u212b \u2126", "Z\u0351\u036b\u0343a\u0334l\u0335g\u0308o\u030b"]


def strings():
    """At least 2,000 different texts, from what people type to what breaks tokenizers."""
    captions = [text for text, _ in prompts(400)]
    yield from captions
    yield from (PREFIX + text for text in captions[:60])
    yield from ["", " ", PREFIX, PREFIX + " ", PREFIX + "\n"]
    latin = [chr(code) for code in range(0x100)]
    yield from latin
    yield from (f"red {c}circle" for c in latin)
    yield from (f"a{c}{c}b {c}" for c in latin)
    r = random.Random(256)
    planes = [(0x100, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x30000), (0xE0000, 0xE01F0), (0xF0000, 0x110000)]
    yield from (chr(r.randrange(*plane)) for plane in planes for _ in range(60))
    for text in EMOJI + WORDS:
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            yield unicodedata.normalize(form, text)
        yield f"a {text} on {text}, {text}{text}"
        yield from (text.lower(), text.upper())
    for run in range(1, 40):
        yield from (" " * run, "\n" * run, "\t" * run, f"a{' ' * run}red{chr(10) * run}circle", f"{' ' * run}circle{' ' * run}", " \n" * run, "\u2581" * run)
    for special in SPECIALS:
        yield from (special, f"a {special} b", f"a{special}b", f" {special} ", special * 3, f"{special}\n{special} {special}", f"x {special[:-1]} {special}")
    yield from ("".join(r.choices("abcdefghijklmnopqrstuvwxyz ,.'-:", k=r.randint(1, 60))) for _ in range(300))
    yield from ("".join(r.choices("aAeE 1\n\t\u2581\u00e9e\u0301\u6f22\U0001f600<bos>", k=r.randint(1, 40))) for _ in range(150))
    yield "a" * 10_000
    yield " " * 10_000
    yield ("a large red circle on a blue background, " * 250)[:10_000]
    yield "".join(r.choices("abcdefghijklmnopqrstuvwxyz    ,.\n", k=10_000))
    yield "\U0001f600\u6f22" * 2_000


def synthetic_strings():
    r = random.Random(60)
    text = ALPHABET.replace("\u2581", " ")
    yield from ["", " ", "\n", text, text[::-1], PREFIX, PREFIX.lower() + "a large red circle"]
    yield from (PREFIX.lower() + caption if index % 4 == 0 else caption for index, (caption, _) in enumerate(prompts(60)))
    yield from ("".join(r.choices(text, k=k)) for k in range(1, 151))
    # Characters outside the vocabulary become bytes, in the middle of words too.
    yield from ("".join(r.choices(text + "AZ\u00e0\u4e00\U0001f680\u0000\u007f", k=r.randint(1, 60))) for _ in range(80))
    yield from (word * 40 for word in ("a", "ab", "aba", "\u6f22\u5b57", "\U0001f600", " ", "\n", "e\u0301", "<bos>a"))
    yield "".join(r.choices(text, k=10_000))
    yield ("a large red circle on a blue background, " * 250)[:10_000]


def expected(path, texts):
    tokenizer = Tokenizer.from_file(str(path))
    texts = list(dict.fromkeys(texts))
    return dict(strings=texts, ids=[tokenizer.encode(text).ids for text in texts])


def main():
    OUT.mkdir(exist_ok=True)
    tiny = expected(FIXTURES / "tiny-sprint" / "tokenizer" / "tokenizer.json", strings())
    write_json(OUT / "tiny.json", tiny, separators=(",", ":"))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.json"
        merges, digest = write(path)
        large = dict(sha256=digest, merges=merges) | expected(path, synthetic_strings())
    write_json(OUT / "synthetic-256k.json", large, separators=(",", ":"))
    print(f"tiny: {len(tiny['strings'])} strings; synthetic-256k: {len(large['strings'])} strings, {merges} merges, sha256 {digest}")


if __name__ == "__main__":
    main()

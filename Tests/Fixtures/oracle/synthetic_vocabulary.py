#!/usr/bin/env python3
"""Write a tokenizer.json of 256,000 pieces in the form of Gemma's. README.md states the recipe, to be followed without Python."""
import argparse
import hashlib
import json

# 60 characters; several of them take 2, 3 or 4 bytes in UTF-8, one is a combining mark.
ALPHABET = "\u2581\nabcdefghijklmnopqrstuvwxyz0123456789.,'-!?\u00e9\u00fc\u00f1\u00df\u03b1\u03b2\u03c3\u03c2\u0436\u044f\u6f22\u5b57\u306e\U0001f600\U0001f3a8\u0301"
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
# Pieces of each length, and a factor that shuffles them: coprime to 60, so that k * factor mod 60^length repeats nothing.
LENGTHS = ((2, 60**2, 1327), (3, 60**3, 79_999), (4, 36_080, 4_999_999))


def pieces():
    """Pieces of 2, 3 and 4 characters in the order of their ids."""
    base = len(ALPHABET)
    for length, count, factor in LENGTHS:
        for k in range(count):
            number, piece = k * factor % base**length, ""
            for _ in range(length):  # the last character is the lowest digit
                number, digit = divmod(number, base)
                piece = ALPHABET[digit] + piece
            yield piece


def merges(vocabulary, ordered):
    """Every way to split a piece into two pieces, by piece, then by the length of the left part."""
    return [[piece[:cut], piece[cut:]] for piece in ordered for cut in range(1, len(piece)) if piece[:cut] in vocabulary and piece[cut:] in vocabulary]


def build():
    ordered = list(pieces())
    names = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + ordered + list(ALPHABET)
    vocabulary = {name: index for index, name in enumerate(names)}
    assert len(vocabulary) == len(names) == 256_000
    added = [dict(id=index, content=name, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for index, name in enumerate(SPECIAL)]
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {"type": "TemplateProcessing", "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": True, "ignore_merges": False, "vocab": vocabulary, "merges": merges(vocabulary, ordered)},
    }


def write(path):
    """Gives the number of merges and the SHA-256 of the file."""
    tokenizer = build()
    data = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")).encode()
    with open(path, "wb") as file:
        file.write(data)
    return len(tokenizer["model"]["merges"]), hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="file to write, 20 MB")
    print("%d merges, sha256 %s" % write(parser.parse_args().out))

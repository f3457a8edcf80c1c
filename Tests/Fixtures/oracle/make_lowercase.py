#!/usr/bin/env python3
"""Write ../prompts/lowercase.json: Python's str.lower and str.strip, which the stock pipeline applies to a prompt."""
import itertools
import pathlib
import random
import sys
import unicodedata

from fixture_json import write_json

OUT = pathlib.Path(__file__).resolve().parent.parent / "prompts"
SCALARS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
# What may stand beside a sigma: nothing, cased letters, case-ignorable ones, both (U+02B0, U+0345), neither.
NEIGHBOURS = ["", "a", "A", "\u03a3", "\u03c3", " ", "1", ".", "'", "\u2019", ":", "-", "\u00ad", "\u0301", "\u0345", "\u02b0", "\u01c5", "\u0130", "\u6f22",
              "\U00010400", "\u200d", "\ufe0f", ".\u0301'", "A.", ".A", "A1", "1A", "\U0001f600"]
TRICKY = ["\u0130stanbul", "D\u0130YARBAKIR", "\u0130", "\u0130\u0307", "I\u0307", "\u0131I", "STRASSE \u1e9e \u00df", "\u01c4\u01c5\u01c6 \u01f1\u01f2\u01f3",
          "\u13a0\u13f5\uab70", "\u10a0\u10d0\u1c90", "\ufb01\ufb06 \u212a \u212b \u2126", "\u1f88\u1fb3\u1fbc", "\u0397\u03a7\u039f\u03a3 \u039f\u0394\u039f\u03a3.",
          "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3", "\u03a3", "\u03a3\u03a3", "\u03a3.\u03a3.", "\u0410\u0411\u0412 \u0401", "\U00010400\U0001e900\U000118a0",
          "\ua640\ua7ae\u2c6f\u2c7e", "\u24b6\u2160\U0001f130", "E\u0301 \u00c9", "A PICTURE OF A Large Red CIRCLE", "\ufeffA\ufeff", "\u200bA\u200b", "\u180eA\u180e"]


def ranges(characters):
    """Inclusive ranges of the code points."""
    runs = []
    for character in characters:
        code = ord(character)
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return runs


def main():
    spaces = [c for c in SCALARS if not c.strip()]
    # After a capital sigma that follows a letter: a sigma inside a word means that a cased letter comes next, ...
    cased = [c for c in SCALARS if ("A\u03a3" + c).lower()[1] == "\u03c3"]
    # ... and one that appears only once a letter follows means that c is skipped.
    transparent = set(c for c in SCALARS if ("A\u03a3" + c + "A").lower()[1] == "\u03c3")
    ignorable = sorted(transparent - set(cased))

    texts = ["".join(parts) for parts in itertools.product(NEIGHBOURS, ["\u03a3"], NEIGHBOURS)] + TRICKY
    texts += [c + "A " + c + " B" + c for c in spaces] + ["".join(spaces) + "X" + "".join(spaces), "".join(spaces), ""]
    texts += [c + c for c in SCALARS if len(c.lower()) > 1]
    r, pool = random.Random(5), [c for c in SCALARS if c.lower() != c] + spaces + ["\u03a3"] * 200 + list("abc .,'")
    texts += ["".join(r.choices(pool, k=r.randint(1, 12))) for _ in range(500)]
    OUT.mkdir(exist_ok=True)
    write_json(OUT / "lowercase.json", dict(
        python=sys.version.split()[0], unicode=unicodedata.unidata_version,
        lower={f"{ord(c):x}": [ord(x) for x in c.lower()] for c in SCALARS if c.lower() != c},
        spaces=[ord(c) for c in spaces], cased=ranges(cased), case_ignorable=ranges(ignorable),
        pairs=[[text, text.lower().strip()] for text in dict.fromkeys(texts)]), separators=(",", ":"))


if __name__ == "__main__":
    main()

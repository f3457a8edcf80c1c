#!/usr/bin/env python3
"""Judge pictures of the captions in ../prompts/prompts-200.json: how many show what they should?

The folder holds 000.png, 001.png, ...: caption I, seed I, 128 x 128 pixels.
"""
import argparse
import pathlib

import numpy as np
from PIL import Image

from fixture_json import read_json
from grammar import check

PROMPTS = pathlib.Path(__file__).resolve().parent.parent / "prompts" / "prompts-200.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", default="2", choices=("1", "2", "4"), help="which verdicts of stock diffusers to compare with")
    options = parser.parse_args()

    rows = read_json(PROMPTS)
    verdicts = []
    for row in rows:
        path = options.folder / f"{row['seed']:03}.png"
        picture = np.asarray(Image.open(path).convert("RGB"))
        if picture.shape != (128, 128, 3):
            raise SystemExit(f"{path}: expected 128 x 128 pixels, found {picture.shape[1]} x {picture.shape[0]}")
        verdicts.append(check(picture, row["scene"]))
    for key, name in (("shape", "shape"), ("fg", "colour"), ("bg", "background"), ("size", "size"), ("pos", "place"), ("all", "all")):
        print(f"{name}: {sum(verdict[key] for verdict in verdicts)} of {len(rows)}")
    stock = [row["stock_right"][options.steps] for row in rows]
    print(f"stock diffusers, all: {sum(stock)} of {len(rows)}")
    for row, verdict, was_right in zip(rows, verdicts, stock):
        if verdict["all"] != was_right:
            print(f"{row['seed']:03} {'right' if verdict['all'] else 'wrong'}, stock {'right' if was_right else 'wrong'}: {row['prompt']}")


if __name__ == "__main__":
    main()

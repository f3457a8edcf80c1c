#!/usr/bin/env python3
"""What int8 costs a control network: pictures drawn after scribbles and judged, by the fp32 file and by the int8 file.

Scenes are drawn as outlines, white on black and two pixels wide, of shapes at the five places of tiny-sprint's captions. The words name shape and
colours, and neither place nor size: both come from the outline. The judge is that of the pictures without one (grammar.py).
"""
import argparse
import pathlib
import random
import subprocess
import tempfile

import numpy as np
from PIL import Image

from grammar import GRID_X, GRID_Y, RADII, SHAPE_WORDS, article, check, distance, offset, sample_scene

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
PARTS = [FIXTURES / "tiny-sprint", "--controlnet", FIXTURES / "tiny-sprint-controlnet"]


def outline(scene, r):
    """A scribble of the scene's shape."""
    radius = r.uniform(*RADII[scene["size"]])
    dx, dy = offset(scene["pos"], radius)
    distances = distance(scene["shape"], GRID_X - 64 - dx, GRID_Y - 64 - dy, radius)
    return np.rint(255 * np.clip(1.5 - np.abs(distances), 0, 1)).astype(np.uint8)


def psnr(left, right):
    error = ((left.astype(np.float64) - right) ** 2).mean()
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--scale", default="1")
    options = parser.parse_args()
    run = lambda *words: subprocess.run([options.binary.resolve(), *map(str, words), "--quiet"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        files = {preset: folder / f"{preset}.sprint" for preset in ("fp32", "int8")}
        for preset, file in files.items():
            run("convert", *PARTS, "-o", file, "--preset", preset, "--no-quality")
        r = random.Random(4321)
        right, without, ratios = dict.fromkeys(files, 0), 0, []
        for seed in range(options.count):
            scene = sample_scene(r)
            words = f"{article(scene['fg'] + ' ' + r.choice(SHAPE_WORDS[scene['shape']]))} on {article(scene['bg'] + ' background')}"
            Image.fromarray(outline(scene, r)).save(folder / "scribble.png")
            common = ["--prompt", words, "--seed", seed, "--steps", 1, "-o", folder / "x.png", "--force"]
            pictures = {}
            for preset, file in files.items():
                run("generate", file, *common, "--control", folder / "scribble.png", "--control-scale", options.scale)
                pictures[preset] = np.asarray(Image.open(folder / "x.png").convert("RGB"))
                right[preset] += bool(check(pictures[preset], scene)["all"])
            ratios.append(psnr(pictures["fp32"], pictures["int8"]))
            run("generate", files["fp32"], *common)
            without += bool(check(np.asarray(Image.open(folder / "x.png").convert("RGB")), scene)["all"])
        print(f"{options.count} scribbles, one step, scale {options.scale}: right " + ", ".join(f"{preset} {count}" for preset, count in right.items())
              + f"; without the scribble {without}; int8 against fp32, PSNR median {np.median(ratios):.1f}, worst {min(ratios):.1f} dB")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What bfloat16 costs in stock PyTorch: the pictures of fake-quant.json's captions against float32's, from the same noise.

The scale against which the pictures of int8 are to be seen (measure_int8.py). The sampler's own arithmetic is float32 in both.
"""
import argparse
import pathlib

import torch

from fake_quant import psnr
from fixture_json import read_json
from reference import GUIDANCE, Reference, draw_noise, eight_bit

FIXTURES = pathlib.Path(__file__).resolve().parent.parent


def picture(stock, prompt, seed, steps):
    features, mask = stock.encode(*stock.tokens(prompt))
    start, noises = draw_noise(seed, stock.latent_shape(*stock.size()), steps)
    return eight_bit(stock.decode(stock.sample(features, mask, stock.times(steps), start, noises, stock.guidance(GUIDANCE))))


@torch.no_grad()
def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    exact, rounded = (Reference(FIXTURES / "tiny-sprint", dtype) for dtype in (torch.float32, torch.bfloat16))
    cases = [(case["prompt"], case["seed"], case["steps"]) for case in read_json(FIXTURES / "fake-quant" / "fake-quant.json")]
    ratios = {case: psnr(picture(exact, *case), picture(rounded, *case)) for case in cases}
    for title, of_seed in (("seed 0", lambda seed: seed == 0), ("seed I", lambda seed: seed > 0)):
        row = sorted((ratio, case) for case, ratio in ratios.items() if of_seed(case[1]))
        print(f"12 captions, {title}, 1, 2 and 4 steps, stock bfloat16: {row[0][0]:.2f} to {row[-1][0]:.2f} dB, median {row[len(row) // 2][0]:.2f} dB")
        for ratio, (prompt, seed, steps) in row:
            if ratio < 50:
                print(f"  picture {ratio:.2f} dB, {steps} steps, seed {seed}: {prompt}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Write ../prompts/prompts-200.json: captions of tiny-sprint's language, their scenes, and what stock diffusers makes of them.

The captions come from random.Random(1234); caption I is run with seed I, in float32 with one thread.
"""
import pathlib

import torch

from fixture_json import write_json
from grammar import check, prompts
from reference import GUIDANCE, Reference, draw_noise, eight_bit

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
STEPS = (1, 2, 4)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    stock = Reference(FIXTURES / "tiny-sprint")
    guidance, shape = stock.guidance(GUIDANCE), stock.latent_shape(*stock.size())
    rows = []
    for seed, (prompt, scene) in enumerate(prompts(200)):
        features, mask = stock.encode(*stock.tokens(prompt))
        right = {}
        for steps in STEPS:
            latents = stock.sample(features, mask, stock.times(steps), *draw_noise(seed, shape, steps), guidance)
            right[str(steps)] = check(eight_bit(stock.decode(latents)).numpy(), scene)["all"]
        rows.append(dict(prompt=prompt, seed=seed, scene=scene, stock_right=right))
    print({steps: sum(row["stock_right"][str(steps)] for row in rows) for steps in STEPS}, "of", len(rows), "right")
    (FIXTURES / "prompts").mkdir(exist_ok=True)
    write_json(FIXTURES / "prompts" / "prompts-200.json", rows, indent=1)


if __name__ == "__main__":
    main()

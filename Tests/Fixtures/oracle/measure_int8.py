#!/usr/bin/env python3
"""What int8 and compact cost in the real program: velocities, pictures and prompts judged, beside the contract of version 0.1, faked in PyTorch.

Runs the sprintpack binary on tiny-sprint with the presets fp32, int8 and compact. Velocities are compared on identical inputs:
noise or latents, time and prompt features are those of the fp32 run (a run of one step from them). Pictures are compared
whole, once with the prompt features of the fp32 run and once with the file's own; of compact with its own alone.

The fake (fake_quant.py) turns the last product of each mix-FFN in blocks of 32 and nothing else; one velocity's SQNR is a draw of
quantization noise, so that it is compared by medians.
"""
import argparse
import math
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from fixture_json import read_json
from grammar import check

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent


def sqnr(reference, other):
    reference, error = reference.astype(np.float64), other.astype(np.float64) - reference
    return 10 * math.log10((reference**2).sum() / (error**2).sum())


def psnr(reference, other):
    error = ((reference.astype(np.float64) - other) ** 2).mean()
    return math.inf if error == 0 else 20 * math.log10(255) - 10 * math.log10(error)


class Program:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        for preset in ("fp32", "int8", "compact"):
            self.call("convert", FIXTURES / "tiny-sprint", "-o", self.file(preset), "--preset", preset, "--no-quality", "--quiet")

    def file(self, preset):
        return self.folder / f"{preset}.sprint"

    def call(self, *arguments):
        subprocess.run([self.binary, *map(str, arguments)], check=True)

    def generate(self, preset, *arguments):
        """Every probe of a run."""
        self.call("generate", self.file(preset), "-o", self.folder / "x.png", "--trace", self.folder / "x.safetensors", "--force", "--quiet", *arguments)
        return load_file(self.folder / "x.safetensors")

    def velocity(self, preset, probes, step, time):
        """The velocity at one step of another run, from that run's input of the transformer."""
        noise = probes[f"dit.step{step}.input"] * np.float32(math.sin(time) + math.cos(time))
        save_file({"input.latents": noise, "prompt_embeds": probes["prompt_embeds"], "prompt_mask": probes["prompt_mask"]}, self.folder / "in.safetensors")
        return self.generate(preset, "--inputs", self.folder / "in.safetensors", "--text-from-inputs", "--timesteps", f"{time},0")["dit.step0.output"]


TIMES = {1: [1.5708], 2: [1.5708, 1.3], 4: [1.5708 * (4 - i) / 4 for i in range(4)]}


def measure(program):
    rows = []
    for case in read_json(FIXTURES / "fake-quant" / "fake-quant.json"):
        exact = program.generate("fp32", "--prompt", case["prompt"], "--seed", case["seed"], "--steps", case["steps"])
        start = program.folder / "start.safetensors"
        save_file({name: value for name, value in exact.items() if name.startswith("input.") or name.startswith("prompt_")}, start)
        ratios, small_ratios = ([sqnr(exact[f"dit.step{i}.output"], program.velocity(preset, exact, i, time)) for i, time in enumerate(TIMES[case["steps"]])]
                                for preset in ("int8", "compact"))
        same_text = program.generate("int8", "--inputs", start, "--text-from-inputs", "--steps", case["steps"])
        own_text = program.generate("int8", "--prompt", case["prompt"], "--seed", case["seed"], "--steps", case["steps"])
        small = program.generate("compact", "--prompt", case["prompt"], "--seed", case["seed"], "--steps", case["steps"])
        kept = exact["prompt_mask"] > 0
        features = sqnr(exact["prompt_embeds"][kept], small["prompt_embeds"][kept])
        pictures = [psnr(exact["image_u8"], run["image_u8"]) for run in (same_text, own_text, small)]
        rows.append((case, ratios, *pictures, features, small_ratios))
    return rows


def report(rows):
    ratios = [ratio for _, ratios, *_ in rows for ratio in ratios]
    first = [ratios[0] for _, ratios, *_ in rows]
    later = [ratio for _, ratios, *_ in rows for ratio in ratios[1:]]
    faked = [ratio for case, *_ in rows for ratio in case["velocity_sqnr_db"]]
    print(f"  {len(ratios)} velocities: median {np.median(ratios):.2f} dB, worst {min(ratios):.2f} dB; first step {min(first):.2f} to {max(first):.2f} dB, "
          f"later {min(later):.2f} to {max(later):.2f} dB; 0.1 faked: median {np.median(faked):.2f} dB")
    for name, pick in (("pictures", 2), ("pictures, int8 text too", 3), ("pictures of compact", 4), ("prompts' features of compact", 5)):
        found = [row[pick] for row in rows]
        print(f"  {len(found)} {name}: median {np.median(found):.2f} dB, {min(found):.2f} to {max(found):.2f} dB")
    small = [ratio for row in rows for ratio in row[6]]
    print(f"  {len(small)} velocities of compact: median {np.median(small):.2f} dB, worst {min(small):.2f} dB")
    for case, ratios, same, own, *_ in rows:
        for i, ratio in enumerate(ratios):
            if ratio < 42:
                print(f"    {ratio:.2f} dB at step {i} of {case['steps']}, seed {case['seed']}: {case['prompt']}")
        if same < 52 or own < 50:
            print(f"    picture {same:.2f} dB, int8 text {own:.2f} dB, {case['steps']} steps, seed {case['seed']}: {case['prompt']}")


def judge(program, preset, steps):
    right = 0
    for row in read_json(FIXTURES / "prompts" / "prompts-200.json"):
        picture = program.folder / "judged.png"
        program.call("generate", program.file(preset), "--prompt", row["prompt"], "--seed", row["seed"], "--steps", steps, "-o", picture, "--force", "--quiet")
        right += bool(check(np.asarray(Image.open(picture).convert("RGB")), row["scene"])["all"])
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--judge", default="1,2,4", help="step counts at which the 200 captions are judged")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(options.binary.resolve(), pathlib.Path(folder))
        rows = measure(program)
        print("12 captions, seeds 0 and I, 1, 2 and 4 steps:")
        report(rows)
        for steps in filter(None, options.judge.split(",")):
            right = (f"{preset} {judge(program, preset, steps)} right" for preset in ("fp32", "int8", "compact"))
            print(f"200 captions, {steps} steps: " + ", ".join(right), flush=True)


if __name__ == "__main__":
    main()

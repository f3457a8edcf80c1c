#!/usr/bin/env python3
"""What quantizing the transformer costs its velocities: sprintpack's presets and searches, and other people's quantizers, byte for byte.

Velocities are of 12 captions at 1, 2 and 4 steps, all on the inputs of sprintpack's own float32 run, which is stock diffusers' to a relative 1e-5.
The checkpoints: the embedded one; copies of it with outliers planted (plant_outliers.py, seeds 1 to 3), which compute the same function and have the
same reference; the random `mini`; two blocks of the 1.6B model's width with heavy tails, large channels and planted outliers. These all with 4 of the captions.
Peers are those that are installed (quality-requirements.txt); each row tells its version. What is measured is written after every checkpoint.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import quality_chart
from fixture_json import read_json
from measure_int8 import FIXTURES, TIMES, Program, sqnr

SEEDS = (1, 2, 3)
# Captions for all checkpoints but the first.
OTHER_CAPTIONS = 4
# Sizes that are searched for, as shares of the int8 file's.
SEARCHES = (0.83, 0.9, 1.0, 1.04)


def checkpoints(folder, seeds):
    """Name, folder, and whether it computes what the one before it does."""
    def run(script, *arguments):
        subprocess.run([sys.executable, pathlib.Path(__file__).with_name(script), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    yield "as it is", FIXTURES / "tiny-sprint", False
    for seed in seeds:
        run("plant_outliers.py", FIXTURES / "tiny-sprint", folder / f"planted-{seed}", "--seed", seed)
        yield f"planted, seed {seed}", folder / f"planted-{seed}", True
    yield "mini", FIXTURES / "mini", False
    run("make_checkpoint.py", folder / "plain", "--preset", "wide", "--outliers")
    run("plant_outliers.py", folder / "plain", folder / "wide", "--parts", "transformer", "--max-power", 10)
    yield "two wide blocks", folder / "wide", False


def gather(program, captions):
    """The inputs and velocities of the float32 run."""
    cases, known = [], []
    for case in read_json(FIXTURES / "fake-quant" / "fake-quant.json"):
        known += [] if case["prompt"] in known else [case["prompt"]]
        if case["seed"] != 0 or known.index(case["prompt"]) >= captions:
            continue
        exact = program.generate("fp32", "--prompt", case["prompt"], "--seed", case["seed"], "--steps", case["steps"])
        for step, time in enumerate(TIMES[case["steps"]]):
            cases.append({
                "prompt": case["prompt"], "exact": exact, "step": step, "time": time, "x": exact[f"dit.step{step}.input"],
                "tau": exact[f"dit.step{step}.timestep"].reshape(1), "features": exact["prompt_embeds"], "mask": exact["prompt_mask"],
                "velocity": exact[f"dit.step{step}.output"],
            })
    return cases


def interval(cases, ratios, seed=0):
    """The median, the worst, and where 95 of 100 medians of other captions would lie."""
    random = np.random.default_rng(seed)
    groups = {}
    for case, ratio in zip(cases, ratios):
        groups.setdefault(case["prompt"], []).append(ratio)
    groups = list(groups.values())
    medians = [np.median(np.concatenate([groups[i] for i in random.integers(0, len(groups), len(groups))])) for _ in range(1000)]
    low, high = np.percentile(medians, (2.5, 97.5))
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high), "worst": float(min(ratios))}


class Ours(Program):
    """Files of one checkpoint."""

    def __init__(self, binary, folder, checkpoint):
        self.binary, self.folder, self.checkpoint = binary, folder, checkpoint
        folder.mkdir()
        self.statistics = folder / "statistics.cal"
        self.call("calibrate", checkpoint, "-o", self.statistics, "--quiet")

    def convert(self, name, *arguments):
        calibration = () if name in ("fp32", "bf16", "fp16") else ("--calibration", self.statistics)
        self.call("convert", self.checkpoint, "-o", self.file(name), "--no-quality", "--quiet", *calibration, *arguments)

    def transformer_bytes(self, name):
        answer = json.loads(subprocess.run([self.binary, "inspect", self.file(name), "--json"], check=True, capture_output=True).stdout)
        return sum(row["bytes"] for row in answer["totals"] if row["part"] == "transformer")

    def ratios(self, name, cases):
        return [sqnr(case["velocity"], self.velocity(name, case["exact"], case["step"], case["time"])) for case in cases]


def ours(program, cases):
    rows = []
    for preset in ("int8", "compact"):
        program.convert(preset, "--preset", preset)
        rows.append(("sprintpack", preset, program.transformer_bytes(preset), interval(cases, program.ratios(preset, cases))))
    size = program.file("int8").stat().st_size
    for share in SEARCHES:
        name = f"search-{share}"
        try:
            program.convert(name, "--target-size", str(int(share * size)))
        except subprocess.CalledProcessError:  # the program has said why: no policy is as small, or as large
            continue
        rows.append(("sprintpack", f"--target-size, {share:.2f} of int8's", program.transformer_bytes(name), interval(cases, program.ratios(name, cases))))
        print(*rows[-1][:3], rows[-1][3], flush=True)
    return rows


def peers(checkpoint, cases):
    import torch
    import quality_peers
    from reference import Reference
    torch.set_num_threads(2)
    rows, stock = [], Reference(checkpoint)
    for package, what, make in quality_peers.PEERS:
        version = quality_peers.version(package)
        if version is None:
            print(f"{package}: not installed, left out", flush=True)
            continue
        try:
            velocity, size = make(stock, cases)
            found = interval(cases, [sqnr(case["velocity"], velocity(case)) for case in cases])
        except Exception as error:  # a peer that does not run says so in the table
            print(f"{package} {version}, {what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", flush=True)
            continue
        rows.append((f"{package} {version}", what, size, found))
        print(*rows[-1][:3], found, flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, default=FIXTURES.parent / "Bench", help="folder of quality.json and quality.svg")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="planted copies")
    parser.add_argument("--captions", type=int, default=12, help="how many of the 12 captions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder, binary = pathlib.Path(folder), options.binary.resolve()
        cases, results, names = None, {}, []
        for name, checkpoint, same in checkpoints(folder, filter(None, options.seeds.split(","))):
            print(f"== {name}", flush=True)
            program = Ours(binary, folder / f"files-{len(names)}", checkpoint)
            captions = min(options.captions, OTHER_CAPTIONS) if names else options.captions
            if not same:
                program.convert("fp32", "--preset", "fp32")
                cases = gather(program, captions)
            known = list(dict.fromkeys(case["prompt"] for case in cases))[:captions]
            cases = [case for case in cases if case["prompt"] in known]
            names.append(name)
            for who, what, size, found in ours(program, cases) + peers(checkpoint, cases):
                row = results.setdefault((who, what), {"by": who, "method": what, "bytes": {}, "velocity": {}})
                row["bytes"][name], row["velocity"][name] = size, found | {"velocities": len(cases)}
            report = {"checkpoints": names, "rows": list(results.values())}
            (options.output / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
            (options.output / "quality.svg").write_text(quality_chart.svg(report))
    print(quality_chart.table(report))


if __name__ == "__main__":
    main()

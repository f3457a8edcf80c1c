#!/usr/bin/env python3
"""Write ../noise: what torch.randn gives for a seed. README.md says which path of PyTorch it is."""
import hashlib
import pathlib

import torch
from safetensors.torch import save_file

from fixture_json import write_json

OUT = pathlib.Path(__file__).resolve().parent.parent / "noise"
SEEDS = (0, 1, 42, 2**40 + 7)
COUNTS = (3, 15, 16, 17, 24, 1024, 32768)
# Calls on one generator: fewer than 16 values leave half a Box-Muller pair behind, which a later short call takes first.
SEQUENCES = ((24, 3, 3, 1024), (3, 24, 3, 17, 1, 1, 16))
LARGE_SEEDS = (0, 2**40 + 7)  # the other seeds' 32768 values are stored as their SHA-256 only


def draw(seed, counts):
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randn(count, generator=generator) for count in counts])


def main():
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        raise SystemExit("run this with ATEN_CPU_CAPABILITY=avx2: the committed values are those of PyTorch's AVX2 path")
    OUT.mkdir(exist_ok=True)
    tensors, digests = {}, {}
    for seed in SEEDS:
        for count in COUNTS:
            values = draw(seed, [count])
            name = f"seed{seed}.count{count}"
            digests[name] = hashlib.sha256(values.numpy().tobytes()).hexdigest()
            if count < 32768 or seed in LARGE_SEEDS:
                tensors[name] = values
        for counts in SEQUENCES:
            tensors[f"seed{seed}.calls{'-'.join(map(str, counts))}"] = draw(seed, counts)
    save_file(tensors, OUT / "noise.safetensors", metadata={"torch": torch.__version__, "capability": "AVX2"})
    write_json(OUT / "sha256.json", digests, indent=1)


if __name__ == "__main__":
    main()

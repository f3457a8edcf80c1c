#!/usr/bin/env python3
"""Write ../float8/values.json: the float32 that PyTorch makes of each of the 256 codes of its two eight-bit floats, and of some times a scale."""
import pathlib

import torch

from fixture_json import write_json

OUT = pathlib.Path(__file__).resolve().parent.parent / "float8"
SCALE = 0.0123456789
TYPES = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}


def bits(values):
    return values.view(torch.int32).tolist()


def main():
    OUT.mkdir(exist_ok=True)
    result = {"scale": torch.tensor(SCALE).view(torch.int32).item()}
    for name, dtype in TYPES.items():
        values = torch.arange(256, dtype=torch.uint8).view(dtype).to(torch.float32)
        # NaN has many codes; any of them will do.
        values[values.isnan()] = float("nan")
        scaled = values * torch.tensor(SCALE)
        scaled[scaled.isnan()] = float("nan")
        result[name] = {"plain": bits(values), "scaled": bits(scaled)}
    write_json(OUT / "values.json", result)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Make ../control/resized.safetensors: pictures and what Pillow's Lanczos filter makes of them in another size."""
import pathlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

# Width and height before and after: smaller, larger, one axis alone, both ways at once, a single pixel.
SIZES = [((50, 33), (20, 21)), ((7, 5), (24, 17)), ((31, 12), (12, 12)), ((9, 40), (9, 13)), ((40, 6), (17, 19)), ((1, 1), (5, 3)), ((64, 3), (2, 2))]


def main():
    random = np.random.RandomState(0)
    out = {}
    for index, ((width, height), size) in enumerate(SIZES):
        source = random.randint(0, 256, (height, width, 3)).astype(np.uint8)
        # Hard edges, where the filter overshoots.
        source[: height // 2, : width // 2] = 255
        out[f"{index}.source"] = source
        out[f"{index}.result"] = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.LANCZOS))
    save_file(out, pathlib.Path(__file__).resolve().parent.parent / "control" / "resized.safetensors")


if __name__ == "__main__":
    main()

"""Figures of files: entropy of packed planes, distance of traces; and the inputs that files without a text encoder start from."""
import json
import math
import pathlib
import sys

import numpy
import zstandard
from safetensors import safe_open
from safetensors.numpy import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Formats"))
import reader  # noqa: E402


def stored(plane):
    return sum(frame[0] for frame in plane["frames"])


def raw(plane):
    return sum(frame[1] for frame in plane["frames"])


def int8_excess(path):
    """How far the stored bytes of all int8 planes lie above the planes' order-0 entropy, as a share of it."""
    file = reader.File(path)
    total = bits = 0
    for tensor in file.directory["tensors"]:
        plane = tensor["planes"][0]
        if plane["dtype"] != "I8":
            continue
        counts, position = numpy.zeros(256, dtype=numpy.int64), plane["offset"]
        for size, content, _ in plane["frames"]:
            data = file.data[position:position + size]
            position += size
            if size < content:
                data = zstandard.ZstdDecompressor().decompress(data)
            counts += numpy.bincount(numpy.frombuffer(data, numpy.uint8), minlength=256)
        p = counts[counts > 0] / counts.sum()
        bits += -(p * numpy.log2(p)).sum() * counts.sum()
        total += stored(plane)
    return float(total * 8 / bits - 1)


def stored_share(path):
    """Stored bytes of all planes over their raw bytes."""
    planes = [plane for tensor in reader.File(path).directory["tensors"] for plane in tensor["planes"]]
    return sum(map(stored, planes)) / sum(map(raw, planes))


def relative_distance(reference, other, name):
    """Relative L2 distance of one probe of two traces."""
    with safe_open(reference, "np") as first, safe_open(other, "np") as second:
        r, x = first.get_tensor(name).astype(numpy.float64), second.get_tensor(name).astype(numpy.float64)
    return float(numpy.linalg.norm(x - r) / numpy.linalg.norm(r))


def write_inputs(path, size, channels=2304, tokens=20, positions=300):
    """A trace that holds noise and prompt features alone."""
    random = numpy.random.default_rng(0)
    side = size // 32
    mask = numpy.zeros((1, positions), numpy.int32)
    mask[:, :tokens] = 1
    meta = dict(steps=1, guidance=4.5, height=size, width=size, seed=0, timesteps=[math.pi / 2, 0.0], prompt="", instruction=True)
    save_file({"input.latents": random.standard_normal((1, 32, side, side)).astype(numpy.float32),
               "input.noise.0": numpy.zeros((1, 32, side, side), numpy.float32),
               "prompt_embeds": random.standard_normal((1, positions, channels)).astype(numpy.float32),
               "prompt_mask": mask}, path, metadata={"meta": json.dumps(meta)})

#!/usr/bin/env python3
"""Write ../metrics: reference values of the parity metrics, by NumPy in float64 and by scikit-image."""
import pathlib

import numpy as np
from safetensors.numpy import save_file
from skimage.metrics import structural_similarity

from fixture_json import write_json

OUT = pathlib.Path(__file__).resolve().parent.parent / "metrics"


def decibels(signal, noise):
    return float(10 * np.log10(signal / noise)) if noise > 0 else None  # None: infinite


def vector_metrics(reference, other):
    r, x = reference.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    error, signal = x - r, r @ r
    return dict(relative_l2=float(np.sqrt(error @ error / signal)), sqnr_db=decibels(signal, error @ error),
                cosine=float(r @ x / np.sqrt(signal * (x @ x))), max_abs=float(np.abs(error).max()))


def picture_metrics(reference, other):
    error = reference.astype(np.float64) - other.astype(np.float64)
    ssim = lambda **how: float(structural_similarity(reference, other, channel_axis=2, data_range=255, **how))
    return dict(psnr_db=decibels(255.0**2, np.mean(error**2)), max_levels=int(np.abs(error).max()), ssim_uniform_7=ssim(),
                ssim_gaussian=ssim(gaussian_weights=True, sigma=1.5, use_sample_covariance=False))


def vectors(r):
    normal = lambda n: r.standard_normal(n).astype(np.float32)
    x = normal(1000)
    yield "noise", x, x + np.float32(1e-3) * normal(1000)
    yield "rounding", x, x * np.float32(1 + 2**-22)
    yield "same", x, x.copy()
    yield "opposite", x, -x
    yield "unrelated", x, normal(1000)
    yield "one", x[:1], x[:1] * np.float32(1.5)
    offset = normal(20003) + np.float32(1000)
    yield "offset", offset, offset + np.float32(1e-2) * normal(20003)  # sums that float32 cannot hold
    yield "huge", x * np.float32(1e30), x * np.float32(1e30) * np.float32(1.001)  # squares overflow float32
    yield "tiny", x * np.float32(1e-30), x * np.float32(1e-30) * np.float32(1.001)  # squares underflow float32
    spike = np.zeros(4096, np.float32)
    spike[17] = 1
    yield "spike", spike, spike + np.float32(1e-4)


def pictures(r):
    y, x = np.mgrid[0:64, 0:48]
    smooth = np.stack([128 + 100 * np.sin(x / 7), 128 + 100 * np.cos(y / 9), (x * 3 + y) % 256], -1).astype(np.uint8)
    yield "noise", smooth, np.clip(smooth + r.normal(0, 6, smooth.shape), 0, 255).round().astype(np.uint8)
    # Darker than the reference everywhere: a difference taken in uint8 wraps to 250.
    dark = np.full((33, 21, 3), 10, np.uint8)
    yield "wrap", dark, dark - np.uint8(4)
    yield "extremes", np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    one = smooth.copy()
    one[5, 7, 1] ^= 1
    yield "one_level", smooth, one
    yield "same", smooth, smooth.copy()
    yield "shifted", smooth, np.roll(smooth, 3, axis=1)


def main():
    OUT.mkdir(exist_ok=True)
    r = np.random.default_rng(20)
    tensors, expected = {}, {}
    for kind, cases, measure in (("vector", vectors(r), vector_metrics), ("picture", pictures(r), picture_metrics)):
        for name, reference, other in cases:
            expected[f"{kind}.{name}"] = measure(reference, other)
            tensors[f"{kind}.{name}.reference"], tensors[f"{kind}.{name}.other"] = np.ascontiguousarray(reference), np.ascontiguousarray(other)
    save_file(tensors, OUT / "cases.safetensors")
    write_json(OUT / "expected.json", expected, indent=1)


if __name__ == "__main__":
    main()

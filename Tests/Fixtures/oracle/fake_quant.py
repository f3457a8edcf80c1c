#!/usr/bin/env python3
"""Stock PyTorch with the integer contract faked: what W8A8 costs tiny-sprint, and what a true int8 program must reach.

Weights: symmetric int8 per output channel. Activations: symmetric int8 per token. scale = absmax / 127 in float32,
q = round-half-even(x / scale), clamped to [-127, 127]; a row of zeros has scale 1. Accumulators are exact integers (in
float64, which holds them), and the epilogue is fma(sx * sw, acc, bias), rounded to float32. The last 1x1 convolution of
the mix-FFN and its input are turned first, 32 channels at a time (Formats/schemes.md, "int8-rotated").

Quantized are the linears and 1x1 convolutions of the transformer's blocks but the key and value projections of
cross-attention. Kept: norms, tables, the core of the linear attention, depthwise convolutions, embedders, proj_out.
"""
import argparse
import copy
import math
import pathlib
import re
import statistics

import torch
from torch import nn

from dump_trace import Trace
from fixture_json import write_json
from grammar import prompts
from reference import DEMO_PROMPT, GUIDANCE, Reference, draw_noise, eight_bit

QUANTIZED = re.compile(r"transformer_blocks\.\d+\.(attn1\.to_[qkv]|attn2\.to_q|attn[12]\.to_out\.0|ff\.conv_(inverted|point))")

TURNED = re.compile(r".*\.ff\.conv_point")

# One value that rounds the other way changes scales and roundings downstream, so any two programs draw the quantization
# noise anew, and one velocity's SQNR is known to some tenths of a decibel only, where the model is discontinuous to several.
# What can be compared is its mean over a neighbourhood: inputs so near that the float run's velocity serves for all of them
# (with each one's own the means are the same to 0.01 dB), so far apart that every rounding is drawn anew.
NEAR = 1e-4  # relative
NEIGHBOURS = 100


def quantize_rows(x):
    """Integers (as float32) and the scale of each row of the last axis."""
    largest = x.abs().amax(-1, keepdim=True)
    scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
    return torch.clamp(torch.round(x / scale), -127, 127), scale


def turned(x):
    """Blocks of 32 values of the last axis times the normalized Hadamard matrix, in the order of the contract."""
    v = x.unflatten(-1, (-1, 32))
    index = torch.arange(32)
    for step in (1, 2, 4, 8, 16):
        partner = v[..., index ^ step]
        v = torch.where((index & step).bool(), partner - v, v + partner)
    return (v * torch.tensor(1 / math.sqrt(32), dtype=torch.float32)).flatten(-2)


class IntegerLinear(nn.Module):
    """A linear layer, or a 1x1 convolution on N,C,H,W, by the integer contract."""

    def __init__(self, layer, turn=False):
        super().__init__()
        self.convolution, self.turn = isinstance(layer, nn.Conv2d), turn
        weight = layer.weight.float().flatten(1)
        weight, scale = quantize_rows(turned(weight) if turn else weight)
        self.weight, self.scale = weight.double(), scale.flatten()
        self.bias = None if layer.bias is None else layer.bias.double()

    def forward(self, x):
        x = x.movedim(1, -1) if self.convolution else x
        q, scale = quantize_rows(turned(x) if self.turn else x)
        total = (q.double() @ self.weight.T).float().double()  # the accumulator, converted to float32 like float(acc)
        y = (scale * self.scale).double() * total  # exact: a product of two float32
        y = (y if self.bias is None else y + self.bias).float()
        return y.movedim(-1, 1) if self.convolution else y


def fold_norm_q(transformer):
    """to_q of the linear attention takes norm_q's weight and the norm goes: a positive factor per token cancels there."""
    for block in transformer.transformer_blocks:
        attention = block.attn1
        attention.to_q.weight.mul_(attention.norm_q.weight[:, None])
        attention.norm_q = nn.Identity()


def quantized(transformer, fold=False, turn=True):
    model = copy.deepcopy(transformer)
    if fold:
        fold_norm_q(model)
    for name, layer in list(model.named_modules()):
        if QUANTIZED.fullmatch(name):
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, IntegerLinear(layer, turn and bool(TURNED.fullmatch(name))))
    return model


def quantize_text_weights(text):
    """Gemma's linears and embedding on the int8 grid, per output channel (per row), with float activations."""
    model = copy.deepcopy(text)
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Embedding)):
            q, scale = quantize_rows(layer.weight.float())
            layer.weight.copy_(q * scale)
    return model


def sqnr(reference, other):
    reference, error = reference.double(), (other - reference).double()
    return (10 * torch.log10(reference.square().sum() / error.square().sum())).item()


def psnr(reference, other):
    error = reference.double() - other.double()
    return 20 * math.log10(255) - 10 * math.log10(error.square().mean().item())


class Comparison:
    def __init__(self, checkpoint):
        self.stock = Reference(checkpoint)
        self.float_transformer, self.float_text = self.stock.transformer, self.stock.text
        self.plain, self.folded = quantized(self.float_transformer), quantized(self.float_transformer, fold=True)
        self.unturned = quantized(self.float_transformer, turn=False)
        self.integer_text = quantize_text_weights(self.float_text)
        self.guidance = self.stock.guidance(GUIDANCE)

    def run(self, prompt, seed, steps, transformer=None, integer_text=False, trace=None):
        """One picture, eight-bit, and every probe of the sampler; the float transformer unless another is given."""
        stock, probes = self.stock, trace or Trace()
        stock.transformer = transformer or self.float_transformer
        stock.text = self.integer_text if integer_text else self.float_text
        features, mask = stock.encode(*stock.tokens(prompt))
        start, noises = draw_noise(seed, stock.latent_shape(*stock.size()), steps)
        probes.probe("prompt_embeds", features)
        probes.probe("prompt_mask", mask.to(torch.int32))
        probes.probe("input.latents", start)
        latents = stock.sample(features, mask, stock.times(steps), start, noises, self.guidance, probes.probe, lambda index: setattr(probes, "step", index))
        image = stock.decode(latents)
        for name, value in (("dit.guidance", self.guidance), ("latents", latents), ("image", image), ("image_u8", eight_bit(image))):
            probes.probe(name, value)
        return eight_bit(image), probes.tensors

    def velocity_ratios(self, transformer, probes, steps, draw=None):
        """SQNR of every step's velocity against the float run's, on the inputs of the float run; with a generator, on a neighbour of theirs."""
        self.stock.transformer = transformer
        ratios = []
        for index in range(steps):
            at = lambda name: probes[f"dit.step{index}.{name}"]
            x = at("input") if draw is None else at("input") * (1 + NEAR * torch.randn(at("input").shape, generator=draw))
            velocity = self.stock.velocity(x, at("timestep"), probes["prompt_embeds"], probes["prompt_mask"], self.guidance)
            ratios.append(round(sqnr(at("output"), velocity), 4))
        return ratios

    def row(self, prompt, seed, steps):
        picture, probes = self.run(prompt, seed, steps)
        integer, _ = self.run(prompt, seed, steps, self.plain)
        integer_text, _ = self.run(prompt, seed, steps, self.plain, integer_text=True)
        plain, folded, unturned = (self.velocity_ratios(transformer, probes, steps) for transformer in (self.plain, self.folded, self.unturned))
        draw = torch.Generator().manual_seed(0)
        near = [self.velocity_ratios(self.folded, probes, steps, draw) for _ in range(NEIGHBOURS)]
        return dict(prompt=prompt, seed=seed, steps=steps, velocity_sqnr_db=plain, velocity_sqnr_folded_db=folded, velocity_sqnr_unturned_db=unturned,
                    velocity_sqnr_mean_db=[round(statistics.fmean(step), 4) for step in zip(*near)],
                    velocity_sqnr_deviation_db=[round(statistics.stdev(step), 4) for step in zip(*near)],
                    psnr_db=round(psnr(picture, integer), 4), psnr_int8_text_db=round(psnr(picture, integer_text), 4))


def summarize(title, table):
    span = lambda values: f"{min(values):.2f} to {max(values):.2f} dB"
    for key in ("velocity_sqnr_db", "velocity_sqnr_folded_db", "velocity_sqnr_unturned_db"):
        print(f"{title}, {key}: first step {span([row[key][0] for row in table])}", end="")
        for steps in (2, 4):
            print(f", later of {steps} {span([ratio for row in table if row['steps'] == steps for ratio in row[key][1:]])}", end="")
        print()
    for key in ("psnr_db", "psnr_int8_text_db"):
        print(f"{title}, {key}: {span([row[key] for row in table])}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--out", help="JSON table to write")
    parser.add_argument("--prompts", type=int, default=12, help="how many of grammar.prompts; prompt I is run with the seeds 0 and I")
    parser.add_argument("--fold", action="store_true", help="for --trace: fold norm_q into to_q first")
    parser.add_argument("--trace", help="in place of the table: safetensors file with the quantized run of one prompt")
    parser.add_argument("--prompt", default=DEMO_PROMPT, help="for --trace")
    parser.add_argument("--seed", type=int, default=0, help="for --trace")
    parser.add_argument("--steps", type=int, default=2, help="for --trace")
    return parser.parse_args()


@torch.no_grad()
def main():
    options = arguments()
    torch.set_num_threads(1)
    comparison = Comparison(options.checkpoint)
    if options.trace:
        transformer, trace = comparison.folded if options.fold else comparison.plain, Trace(drop=["dit.caption"])
        trace.watch_transformer(transformer, range(len(transformer.transformer_blocks)))
        comparison.run(options.prompt, options.seed, options.steps, transformer, trace=trace)
        meta = dict(prompt=options.prompt, seed=options.seed, steps=options.steps, guidance=GUIDANCE, instruction=True, arithmetic="W8A8, faked in float")
        return trace.save(options.trace, meta)
    cases = [(prompt, seed) for index, (prompt, _) in enumerate(prompts(options.prompts)) for seed in dict.fromkeys((0, index))]
    table = [comparison.row(prompt, seed, steps) for steps in (1, 2, 4) for prompt, seed in cases]
    summarize("seed 0", [row for row in table if row["seed"] == 0])
    summarize("seed I", [row for row in table if row["seed"] > 0])
    if options.out:
        write_json(options.out, table, indent=1)


if __name__ == "__main__":
    main()

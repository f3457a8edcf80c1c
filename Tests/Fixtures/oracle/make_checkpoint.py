#!/usr/bin/env python3
"""Write a checkpoint of random weights with the names, shapes and files of a real SANA-Sprint checkpoint.

Converting, loading and quantizing can be tried at any size without a download. The pictures are noise; for pictures
that mean something there is tiny-sprint. The same preset, seed and options give the same tensors.
"""
import argparse
import json
import math
import pathlib
import shutil

import torch
from diffusers import AutoencoderDC, SanaTransformer2DModel, SCMScheduler, __version__
from transformers import Gemma2Config, Gemma2Model

from fixture_json import write_json
from presets import GEMMA_REAL, GEMMA_SMALL, PRESETS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOKENIZER = pathlib.Path(__file__).resolve().parent.parent / "tiny-sprint" / "tokenizer"


def gaussian(shape, generator):
    return torch.randn(shape, generator=generator)


def heavy_tailed(shape, generator):
    """Student's t with 4 degrees of freedom, cut at 8, and a few large channels.

    Gaussian weights are kinder to quantization than trained ones; these are not.
    """
    uniform = lambda: torch.rand(shape, generator=generator).clamp_(min=1e-6)
    chi_squared = -2 * (uniform() * uniform()).log()
    values = (torch.randn(shape, generator=generator) / (chi_squared / 4).sqrt() / math.sqrt(2)).clamp_(-8, 8)
    spread = [1] * (len(shape) - 2)
    gain = torch.maximum(channel_gain(shape[0], generator)[:, None], channel_gain(shape[1], generator)[None])
    return values * gain.reshape(*shape[:2], *spread)


def channel_gain(count, generator):
    """One per channel, but 8 to 20 for 0.4 % of them, at least one; few channels have none."""
    gain = torch.ones(count)
    if count >= 16:
        chosen = torch.randperm(count, generator=generator)[:max(1, round(0.004 * count))]
        gain[chosen] = torch.empty(len(chosen)).uniform_(8, 20, generator=generator)
    return gain


def value(name, shape, draw, generator, gemma):
    """One parameter: matrices by fan-in, norms about their neutral value."""
    if name.endswith("scale_shift_table"):
        return gaussian(shape, generator) / math.sqrt(shape[-1])
    if len(shape) >= 2:
        weights = draw(shape, generator)
        rms = 0.03 if "embed_tokens" in name else 1 / math.sqrt(math.prod(shape[1:]))
        # The same RMS with and without outliers, so that activations stay finite.
        return weights * (rms / weights.square().mean().sqrt())
    if name.endswith("weight"):  # a norm; Gemma stores its weight less one
        return (0.0 if gemma else 1.0) + 0.1 * gaussian(shape, generator)
    return 0.02 * gaussian(shape, generator)


@torch.no_grad()
def build(kind, make, dtype, draw, generator):
    """A model of random weights; parameters are drawn in the order of the model."""
    with torch.device("meta"):
        model = make().eval()
    for name, parameter in list(model.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        weights = value(name, tuple(parameter.shape), draw, generator, kind == "text_encoder").to(dtype)
        setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(weights, requires_grad=False))
    print(f"{kind}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    return model


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="folder to write; must not exist")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=sorted(DTYPES))
    parser.add_argument("--outliers", action="store_true", help="heavy-tailed weights and a few channels 8 to 20 times larger")
    parser.add_argument("--text-encoder", choices=("none", "small", "full"),
                        help="in place of the preset's: none, four small layers of the same caption width, or a Gemma-2 2B")
    parser.add_argument("--no-vae", action="store_true")
    parser.add_argument("--max-shard-size", metavar="SIZE", help='for instance "500MB"; several shards get an index')
    parser.add_argument("--variant", help='for instance "fp16": the tag before .safetensors or the shard number; "" for none')
    parser.add_argument("--set", action="append", default=[], metavar="PART.KEY=JSON", help="change a config value, such as transformer.attention_bias=true")
    return parser.parse_args()


def main():
    options = arguments()
    preset = {part: dict(values) if values else None for part, values in PRESETS[options.preset].items()}
    if options.text_encoder:
        width = dict(hidden_size=preset["transformer"]["caption_channels"])
        preset["text"] = {"none": None, "small": GEMMA_SMALL | width, "full": GEMMA_REAL}[options.text_encoder]
    if options.no_vae:
        preset["vae"] = None
    for change in options.set:
        path, _, text = change.partition("=")
        part, _, key = path.partition(".")
        preset[part][key] = json.loads(text)

    files = preset["files"]
    dtype = DTYPES[options.dtype or files["dtype"]]
    saved = dict(max_shard_size=options.max_shard_size or files["shard"], variant=(files["variant"] if options.variant is None else options.variant) or None)
    draw = heavy_tailed if options.outliers else gaussian
    generator = torch.Generator().manual_seed(options.seed)
    options.out.mkdir(parents=True)

    SCMScheduler(prediction_type="trigflow", sigma_data=0.5).save_pretrained(options.out / "scheduler")
    shutil.copytree(TOKENIZER, options.out / "tokenizer")
    index = {"_class_name": "SanaSprintPipeline", "_diffusers_version": __version__, "scheduler": ["diffusers", "SCMScheduler"],
             "tokenizer": ["transformers", "GemmaTokenizerFast"]}
    factories = {
        "text_encoder": (preset["text"], "transformers", "Gemma2Model", lambda config: Gemma2Model(Gemma2Config(**config))),
        "transformer": (preset["transformer"], "diffusers", "SanaTransformer2DModel", lambda config: SanaTransformer2DModel(**config)),
        "vae": (preset["vae"], "diffusers", "AutoencoderDC", lambda config: AutoencoderDC(**config)),
    }
    for kind, (config, library, name, factory) in factories.items():
        index[kind] = [library, name] if config else [None, None]
        if config:
            model = build(kind, lambda: factory(config), dtype, draw, generator)
            if kind == "text_encoder":
                model.config.dtype = dtype
            model.save_pretrained(options.out / kind, **saved)
    write_json(options.out / "model_index.json", dict(sorted(index.items())), indent=2)


if __name__ == "__main__":
    main()

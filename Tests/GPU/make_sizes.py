#!/usr/bin/env python3
"""Writes real-sizes.json: configurations, names and shapes of checkpoints, for make_random.py, which has neither diffusers nor transformers.

Run with the packages of Tests/Fixtures/oracle/requirements.txt. Models are made without weights. Tensors of equal blocks are one line:
name with {} for the block's number, first number, count, shape.
"""
import json
import pathlib
import re
import sys
import tempfile

import torch
from diffusers import AutoencoderDC, SanaTransformer2DModel
from transformers import Gemma2Config, Gemma2Model

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Fixtures" / "oracle"))
from presets import GEMMA_REAL, PRESETS  # noqa: E402

BLOCK = re.compile(r"((?:transformer_blocks|layers|(?:encoder|decoder)\.(?:down|up)_blocks\.\d+)\.)(\d+)(\..*)")
FACTORIES = {
    "transformer": lambda preset: SanaTransformer2DModel(**preset["transformer"]),
    "vae": lambda preset: AutoencoderDC(**preset["vae"]),
    "text_encoder": lambda preset: Gemma2Model(Gemma2Config(dtype="bfloat16", **(preset["text"] or GEMMA_REAL))),
}


def configuration(model):
    """As it is saved."""
    with tempfile.TemporaryDirectory() as folder:
        (model.config.save_pretrained if isinstance(model, Gemma2Model) else model.save_config)(folder)
        return json.loads((pathlib.Path(folder) / "config.json").read_text())


def lines(model):
    blocks, found = {}, []
    for name, parameter in model.named_parameters():
        shape = list(parameter.shape)
        match = BLOCK.fullmatch(name)
        if not match:
            found.append([name, 0, 1, shape])
            continue
        key, number = (match[1] + "{}" + match[3], tuple(shape)), int(match[2])
        line = blocks.get(key)
        if line and line[1] + line[2] == number:
            line[2] += 1
        else:
            blocks[key] = [key[0], number, 1, shape]
            found.append(blocks[key])
    return found


def main():
    sizes = {}
    for preset in ("1600M", "mini"):
        sizes[preset] = {}
        for part, make in FACTORIES.items():
            with torch.device("meta"):
                model = make(PRESETS[preset])
            sizes[preset][part] = dict(config=configuration(model), tensors=lines(model))
    text = ",\n".join(
        f'"{preset}": {{\n' + ",\n".join(
            f' "{part}": {{"config": {json.dumps(value["config"], sort_keys=True)},\n  "tensors": [\n   '
            + ",\n   ".join(json.dumps(line) for line in value["tensors"]) + "]}" for part, value in parts.items()) + "}"
        for preset, parts in sizes.items())
    (HERE / "real-sizes.json").write_text("{" + text + "}\n")


if __name__ == "__main__":
    main()

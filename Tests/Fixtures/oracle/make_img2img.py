#!/usr/bin/env python3
"""Make ../img2img/runs.safetensors: what the stock SanaSprintImg2ImgPipeline draws with ../tiny-sprint from a picture.

Latents are of unit variance, as a trace's probe `latents`.
"""
import json
import pathlib

import torch
from diffusers import SanaSprintImg2ImgPipeline
from PIL import Image
from safetensors.torch import save_file

from reference import GUIDANCE, Reference, eight_bit, pipeline_grid

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
PICTURE = "tiny-sprint-controlnet/star-picture.png"
# Steps, strength, width, height, seed.
RUNS = [(2, 0.5, 128, 128, 3), (4, 0.6, 128, 128, 0), (4, 0.3, 96, 128, 1), (2, 0.6, 128, 128, 2)]
PROMPT = "a green star on a white background"


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    stock = Reference(FIXTURES / "tiny-sprint")
    pipe = SanaSprintImg2ImgPipeline(tokenizer=stock.tokenizer, text_encoder=stock.text, vae=stock.vae, transformer=stock.transformer,
                                     scheduler=stock.scheduler)
    pipe.set_progress_bar_config(disable=True)
    picture = Image.open(FIXTURES / PICTURE).convert("RGB")
    out, runs = {}, []
    for index, (steps, strength, width, height, seed) in enumerate(RUNS):
        latents = pipe(PROMPT, image=picture, strength=strength, num_inference_steps=steps, width=width, height=height, guidance_scale=GUIDANCE,
                       use_resolution_binning=False, generator=torch.Generator().manual_seed(seed), output_type="latent", **pipeline_grid(steps)).images
        out[f"{index}.latents"] = latents.contiguous()
        out[f"{index}.image_u8"] = eight_bit(stock.decode(latents))
        runs.append(dict(steps=steps, strength=strength, width=width, height=height, seed=seed))
    (FIXTURES / "img2img").mkdir(exist_ok=True)
    save_file(out, FIXTURES / "img2img/runs.safetensors", metadata={"runs": json.dumps(runs), "prompt": PROMPT, "picture": PICTURE})


if __name__ == "__main__":
    main()

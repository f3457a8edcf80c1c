#!/usr/bin/env python3
"""Run a checkpoint with stock diffusers on the CPU and store what it computes, probe by probe.

README.md lists the probes. In float32 the picture is compared with a call of SanaSprintPipeline and must equal it to
1e-6. In float64 every cast to float32 inside the libraries is lifted as well; the random numbers, the time grid and the
eight-bit picture keep their float32 values. |float32 - float64| of stock diffusers is the yardstick for the rounding
error of another program.
"""
import argparse
import contextlib
import fnmatch
import json

import diffusers
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

from reference import DEMO_PROMPT, DTYPES, GUIDANCE, INSTRUCTION, PAPER_4, Reference, Widened, draw_noise, eight_bit, pipeline_grid


class Trace:
    """Tensors by name, and the hooks that collect them inside the models."""

    def __init__(self, drop=()):
        self.tensors, self.drop, self.step = {}, drop, 0

    def probe(self, name, value):
        if not any(fnmatch.fnmatch(name, pattern) for pattern in self.drop):
            self.tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)

    def hook(self, module, name, pick=None):
        """Stores a module's output; "{step}" in the name is the sampler's step."""
        def store(_, __, output):
            output = output if pick is None and torch.is_tensor(output) else output[pick or 0]
            self.probe(name.format(step=self.step), output)
        module.register_forward_hook(store)

    def watch_text(self, text):
        self.hook(text.embed_tokens, "text.embed")
        for index, layer in enumerate(text.layers):
            self.hook(layer, f"text.layer.{index}")

    def watch_transformer(self, dit, blocks):
        self.hook(dit.caption_norm, "dit.caption")
        self.hook(dit.time_embed, "dit.step{step}.modulation", 0)
        self.hook(dit.time_embed, "dit.step{step}.time_embed", 1)
        self.hook(dit.patch_embed, "dit.step{step}.patch_embed")
        self.hook(dit.norm_out, "dit.step{step}.norm_out")
        for index in blocks:
            self.hook(dit.transformer_blocks[index], f"dit.step{{step}}.block.{index}")

    def watch_vae(self, vae):
        for name, part, stages in (("dec", vae.decoder, vae.decoder.up_blocks), ("enc", vae.encoder, vae.encoder.down_blocks)):
            self.hook(part.conv_in, f"vae.{name}.conv_in")
            for index, stage in enumerate(stages):
                self.hook(stage, f"vae.{name}.stage.{index}")

    def save(self, path, meta, narrow=None):
        def stored(value):
            if value.dtype is torch.float64 and narrow is not None and value.numel() > narrow:
                return value.float()
            return value
        tensors = {name: stored(value) for name, value in sorted(self.tensors.items())}
        for name, value in tensors.items():
            if not torch.isfinite(value.double()).all():
                raise SystemExit(f"{name} is not finite")
        save_file(tensors, path, metadata={"meta": json.dumps(meta)})
        size = sum(value.numel() * value.element_size() for value in tensors.values())
        print(f"{path}: {len(tensors)} tensors, {size / 1e6:.2f} MB")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder in the diffusers layout")
    parser.add_argument("out", help="safetensors file to write")
    parser.add_argument("--prompt", default=DEMO_PROMPT)
    parser.add_argument("--no-instruction", action="store_true", help="leave out the instruction that the pipeline puts before the prompt")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--timesteps", help='in place of --steps: comma-separated times that end in 0, or "paper4" = atan(400),1.3,1.1,0.6,0')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--height", type=int, help="pixels; default: sample_size of the transformer")
    parser.add_argument("--width", type=int)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="arithmetic; stored weights are converted to it")
    parser.add_argument("--variant", help='variant of the weight files, for instance "fp16"')
    parser.add_argument("--blocks", default="all", help='transformer blocks to store: "all" or a list such as 0,-1')
    parser.add_argument("--drop", action="append", default=[], metavar="PATTERN", help="leave out probes whose name matches, such as 'vae.enc.*'; repeatable")
    parser.add_argument("--narrow", type=int, metavar="N", help="store float64 probes of more than N elements rounded to float32")
    parser.add_argument("--picture-from", metavar="TRACE", help="give the encoder the eight-bit picture of another trace, so that its probes compare")
    parser.add_argument("--no-check", action="store_true", help="skip the comparison with SanaSprintPipeline, which refuses sizes off its grid of 32 pixels")
    parser.add_argument("--png", help="also write the picture")
    return parser.parse_args()


def check_against_pipeline(reference, options, steps, height, width, image):
    stock = reference.pipeline()(
        options.prompt, num_inference_steps=steps, **pipeline_grid(steps), guidance_scale=options.guidance, height=height, width=width,
        generator=torch.Generator().manual_seed(options.seed), use_resolution_binning=False, output_type="pt",
        complex_human_instruction=None if options.no_instruction else INSTRUCTION).images
    difference = ((image / 2 + 0.5).clamp(0, 1) - stock).abs().max().item()
    if not difference <= 1e-6:
        raise SystemExit(f"this script and SanaSprintPipeline disagree by {difference:.3g}")
    return difference


@torch.no_grad()
def main():
    options = arguments()
    torch.set_num_threads(1)  # the thread count moves the last bits
    custom = PAPER_4 if options.timesteps == "paper4" else [float(t) for t in options.timesteps.split(",")] if options.timesteps else None
    steps = len(custom) - 1 if custom else options.steps
    dtype = DTYPES[options.dtype]
    reference = Reference(options.checkpoint, dtype, options.variant)
    height, width = reference.size(options.height, options.width)
    start, noises = draw_noise(options.seed, reference.latent_shape(height, width), steps)

    trace = Trace(options.drop)
    count = len(reference.transformer.transformer_blocks)
    trace.watch_text(reference.text)
    trace.watch_transformer(reference.transformer, range(count) if options.blocks == "all" else [int(b) % count for b in options.blocks.split(",")])
    trace.watch_vae(reference.vae)

    with Widened() if dtype is torch.float64 else contextlib.nullcontext():
        ids, mask = reference.tokens(options.prompt, not options.no_instruction)
        trace.probe("text.input_ids", ids.to(torch.int32))
        trace.probe("text.attention_mask", mask.to(torch.int32))
        features, mask = reference.encode(ids, mask)
        trace.probe("prompt_embeds", features)
        trace.probe("prompt_mask", mask.to(torch.int32))

        trace.probe("input.latents", start)
        times = reference.times(steps, custom)
        guidance = reference.guidance(options.guidance)
        trace.probe("dit.guidance", guidance)
        latents = reference.sample(features, mask, times, start, noises, guidance, trace.probe, lambda index: setattr(trace, "step", index))
        trace.probe("latents", latents)

        image = reference.decode(latents, trace.probe)
        picture = eight_bit(image)
        trace.probe("image", image)
        trace.probe("image_u8", picture)
        if options.picture_from:
            with safe_open(options.picture_from, "pt") as other:
                picture = other.get_tensor("image_u8")
        # The encoder sees the eight-bit picture, so that any program can give it the same input.
        trace.probe("vae.enc.output", reference.vae.encode(picture.permute(2, 0, 1)[None].to(dtype) / 127.5 - 1, return_dict=False)[0])

    meta = dict(prompt=options.prompt, instruction=not options.no_instruction, steps=steps, seed=options.seed, guidance=options.guidance,
                height=height, width=width, dtype=options.dtype, timesteps=times.tolist(), sigma_data=reference.sigma,
                scaling_factor=reference.vae.config.scaling_factor, attn_implementation=reference.text.config._attn_implementation,
                torch=torch.__version__, diffusers=diffusers.__version__, transformers=transformers.__version__)
    if dtype is torch.float32 and not custom and not options.no_check:
        trace.drop = ["*"]  # the hooks stay on; this second run is not to be stored
        meta["pipeline_max_abs_diff"] = check_against_pipeline(reference, options, steps, height, width, image)
    trace.save(options.out, meta, options.narrow)
    if options.png:
        from PIL import Image
        Image.fromarray(eight_bit(image).numpy()).save(options.png)


if __name__ == "__main__":
    main()

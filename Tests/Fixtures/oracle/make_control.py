#!/usr/bin/env python3
"""Make ../odd-controlnet and ../control: a control network of random weights, and what one step of the transformer gives with it.

Two networks: diffusers' own class for ../odd (no query and key norms, its own embedders, no guidance), and the trained one of
../tiny-sprint-controlnet (query and key norms, the base's embedders), which that class cannot hold. Two wirings, each at the scales 1 and 0.5. Blocks
and embedders are stock modules; in diffusers' wiring the network of ../odd is the stock class, called by the stock transformer.
"""
import json
import pathlib
import sys

import torch
from diffusers import SanaControlNetModel, SanaTransformer2DModel
from diffusers.models.transformers.sana_transformer import SanaTransformerBlock
from safetensors.torch import load_file, save_file

from make_checkpoint import gaussian, value

FIXTURES = pathlib.Path(__file__).resolve().parent.parent
BASE_MEMBERS = ["attention_bias", "attention_head_dim", "caption_channels", "cross_attention_dim", "cross_attention_head_dim", "dropout",
                "in_channels", "mlp_ratio", "norm_elementwise_affine", "norm_eps", "num_attention_heads", "num_cross_attention_heads", "out_channels",
                "patch_size", "sample_size"]
TIME, GUIDANCE = 0.7827, 4.5


def make_odd(folder):
    """Random weights for ../odd: two blocks of its three."""
    base = json.loads((FIXTURES / "odd/transformer/config.json").read_text())
    model = SanaControlNetModel(num_layers=2, **{name: base[name] for name in BASE_MEMBERS})
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(value(name, parameter.shape, gaussian, generator, False).half())
    model.half().save_pretrained(folder)


class Branch(torch.nn.Module):
    """A network that diffusers' class cannot hold: blocks with query and key norms, and the linears around them."""

    def __init__(self, config, weights):
        super().__init__()
        width = config["num_attention_heads"] * config["attention_head_dim"]
        self.blocks = torch.nn.ModuleList([
            SanaTransformerBlock(
                width, config["num_attention_heads"], config["attention_head_dim"], num_cross_attention_heads=config["num_cross_attention_heads"],
                cross_attention_head_dim=config["cross_attention_head_dim"], cross_attention_dim=width, attention_bias=config["attention_bias"],
                norm_eps=config["norm_eps"], mlp_ratio=config["mlp_ratio"], qk_norm=config.get("qk_norm"))
            for _ in range(config["num_layers"])])
        self.input_block = torch.nn.Linear(width, width)
        self.controlnet_blocks = torch.nn.ModuleList([torch.nn.Linear(width, width) for _ in self.blocks])
        own = {name.replace("transformer_blocks.", "blocks."): tensor.float() for name, tensor in weights.items()
               if name.startswith(("transformer_blocks.", "input_block.", "controlnet_blocks."))}
        self.load_state_dict(own)


def embeddings(model, latents, features, guidance):
    """Tokens, six vectors, embedding and caption, as a transformer or a control network makes them of a step's input."""
    time = torch.tensor([TIME])
    if hasattr(model.time_embed, "guidance_embedder"):
        modulation, embedding = model.time_embed(time, guidance=guidance * model.config.guidance_embeds_scale, hidden_dtype=torch.float32)
    else:
        modulation, embedding = model.time_embed(time, batch_size=1, hidden_dtype=torch.float32)
    return model.patch_embed(latents), modulation, embedding, model.caption_norm(model.caption_projection(features))


def finish(base, tokens, embedding, height, width):
    patch, channels = base.config.patch_size, base.config.out_channels
    tokens = base.proj_out(base.norm_out(tokens, embedding, base.scale_shift_table))
    tokens = tokens.reshape(1, height, width, patch, patch, channels).permute(0, 5, 1, 3, 2, 4)
    return tokens.reshape(1, channels, height * patch, width * patch)


def velocity(base, branch, control, inputs, wiring, scale):
    """One step. `branch` has the blocks and linears, `control` the embedders of the branch in diffusers' wiring."""
    latents, picture, features = inputs
    guidance = torch.tensor([GUIDANCE])
    x, modulation, embedding, caption = embeddings(base, latents, features, guidance)
    height, width = (extent // base.config.patch_size for extent in latents.shape[-2:])
    run = lambda block, tokens, caption, modulation: block(tokens, None, caption, None, modulation, height, width)
    if wiring == "nvlabs":
        hint = branch.input_block(base.patch_embed(picture))
        for index, block in enumerate(base.transformer_blocks):
            if 1 <= index <= len(branch.blocks):
                c = run(branch.blocks[index - 1], x + hint if index == 1 else c, caption, modulation)
                x = x + scale * branch.controlnet_blocks[index - 1](c)
            x = run(block, x, caption, modulation)
    else:
        c, own_modulation, _, own_caption = embeddings(control, latents, features, guidance)
        c = c + branch.input_block(control.patch_embed(picture))
        residuals = []
        for block, linear in zip(branch.blocks, branch.controlnet_blocks):
            c = run(block, c, own_caption, own_modulation)
            residuals.append(linear(c) * scale)
        for index, block in enumerate(base.transformer_blocks):
            x = run(block, x, caption, modulation)
            if 0 < index <= len(residuals):
                x = x + residuals[index - 1]
    return finish(base, x, embedding, height, width)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    make_odd(FIXTURES / "odd-controlnet")
    out = {}
    for name, folder, network in (("odd", "odd", "odd-controlnet"), ("tiny", "tiny-sprint", "tiny-sprint-controlnet")):
        variant = "fp16" if name == "odd" else None
        base = SanaTransformer2DModel.from_pretrained(FIXTURES / folder / "transformer", torch_dtype=torch.float32, variant=variant).eval()
        config = json.loads((FIXTURES / network / "config.json").read_text())
        branch = Branch(config, load_file(FIXTURES / network / "diffusion_pytorch_model.safetensors")).eval()
        stock = SanaControlNetModel.from_pretrained(FIXTURES / network, torch_dtype=torch.float32).eval() if name == "odd" else None
        generator = torch.Generator().manual_seed(11)
        side = base.config.sample_size
        shape = (1, base.config.in_channels, side, side - 2 * base.config.patch_size)
        inputs = [torch.randn(shape, generator=generator), torch.randn(shape, generator=generator),
                  torch.randn((1, 12, base.config.caption_channels), generator=generator)]
        for key, tensor in zip(("latents", "control", "features"), inputs):
            out[f"{name}.{key}"] = tensor
        plain = base(inputs[0], encoder_hidden_states=inputs[2], guidance=torch.tensor([GUIDANCE]) * base.config.guidance_embeds_scale,
                     timestep=torch.tensor([TIME]), return_dict=False)[0]
        for wiring in ("nvlabs", "diffusers"):
            for scale in (1.0, 0.5):
                result = velocity(base, branch, stock or base, inputs, wiring, scale)
                out[f"{name}.{wiring}.{scale}"] = result
                print(name, wiring, scale, "moves the velocity by", ((result - plain).norm() / plain.norm()).item())
                if stock is not None and wiring == "diffusers":
                    samples = stock(inputs[0], inputs[2], torch.tensor([TIME]), inputs[1], conditioning_scale=scale, return_dict=False)[0]
                    same = base(inputs[0], encoder_hidden_states=inputs[2], guidance=torch.tensor([GUIDANCE]) * base.config.guidance_embeds_scale,
                                timestep=torch.tensor([TIME]), controlnet_block_samples=tuple(samples), return_dict=False)[0]
                    difference = (result - same).abs().max().item()
                    print("  differs from the stock classes by", difference)
                    out[f"{name}.{wiring}.{scale}"] = same
                    if difference > 1e-5:
                        sys.exit("the written-out step is not the stock classes'")
    (FIXTURES / "control").mkdir(exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, FIXTURES / "control/steps.safetensors",
              metadata={"time": str(TIME), "guidance": str(GUIDANCE)})


if __name__ == "__main__":
    main()

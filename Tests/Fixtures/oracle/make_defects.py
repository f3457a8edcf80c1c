#!/usr/bin/env python3
"""Traces of engines that are wrong, for the tests that look for the cause: stock diffusers with one mistake patched in.

Writes ../defects/NAME.safetensors (the probes that the mistake touches) and ../defects/reference.safetensors (the run without a
mistake), all of ../mini at 96 x 64 pixels in two steps without the instruction.
"""
import copy
import fnmatch
import json
import os
import pathlib

import torch
from safetensors.torch import save_file

from dump_trace import Trace
from reference import DEMO_PROMPT, GUIDANCE, Reference, draw_noise, eight_bit

HERE = pathlib.Path(__file__).resolve().parent.parent
FOLDER, HEIGHT, WIDTH, STEPS, SEED = str(HERE / "mini"), 64, 96, 2, 0
TEXT = ["text.input_ids", "text.attention_mask", "text.layer.0"]
BLOCKS = ["dit.step*"]  # the noise and the prompt's features are the reference's
DEEP = ["vae.dec.input", "vae.dec.conv_in", "vae.dec.stage.[345]"]


def run(patch=None):
    """One run with `patch` at the reference's models; gives the probes and the metadata."""
    reference = Reference(FOLDER, torch.float32)
    options = dict(prompt=DEMO_PROMPT, instruction=False, guidance=GUIDANCE)
    state = dict(reference=reference, options=options, image=lambda x: x, latents=lambda x: x)
    if patch:
        patch(state)
    start, noises = draw_noise(SEED, reference.latent_shape(HEIGHT, WIDTH), STEPS)
    trace = Trace()
    trace.watch_text(reference.text)
    trace.watch_transformer(reference.transformer, range(len(reference.transformer.transformer_blocks)))
    trace.watch_vae(reference.vae)
    ids, mask = reference.tokens(options["prompt"], options["instruction"])
    ids, mask = state.get("tokens", lambda i, m: (i, m))(ids, mask)
    trace.probe("text.input_ids", ids.to(torch.int32))
    trace.probe("text.attention_mask", mask.to(torch.int32))
    features, mask = reference.encode(ids, mask)
    trace.probe("prompt_embeds", features)
    trace.probe("prompt_mask", mask.to(torch.int32))
    trace.probe("input.latents", start)
    times = reference.times(STEPS)
    guidance = state.get("guidance", lambda g: g)(reference.guidance(GUIDANCE))
    trace.probe("dit.guidance", guidance)
    seen = torch.ones_like(mask) if state.get("unmasked") else mask
    latents = reference.sample(features, seen, times, start, noises, guidance, trace.probe, lambda index: setattr(trace, "step", index))
    latents = state["latents"](latents)
    trace.probe("latents", latents)
    image = reference.decode(latents, trace.probe)
    trace.probe("image", image)
    trace.probe("image_u8", state["image"](eight_bit(image)))
    meta = dict(prompt=DEMO_PROMPT, instruction=False, steps=STEPS, seed=SEED, guidance=GUIDANCE, height=HEIGHT, width=WIDTH, dtype="float32",
                timesteps=times.tolist())
    return trace.tensors, meta


# Each mistake is a function that patches a run's models or its steps.

def soft_cap(state):
    for layer in state["reference"].text.layers:
        layer.self_attn.attn_logit_softcapping = None


def text_epsilon(state):
    for layer in state["reference"].text.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm, layer.pre_feedforward_layernorm, layer.post_feedforward_layernorm):
            norm.eps = 1e-3


def embedding_scale(state):
    state["reference"].text.embed_tokens.embed_scale.fill_(1.0)


def exchange_gate_up(state):
    mlp = state["reference"].text.layers[1].mlp
    mlp.gate_proj, mlp.up_proj = mlp.up_proj, mlp.gate_proj


def with_instruction(state):
    state["options"]["instruction"] = True


def norm_offset(state):
    for layer in state["reference"].text.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm, layer.pre_feedforward_layernorm, layer.post_feedforward_layernorm):
            norm.weight.data -= 1


def exact_gelu(state):
    state["reference"].transformer.caption_projection.act_1 = torch.nn.GELU()


def exchange_qk(state):
    attention = state["reference"].transformer.transformer_blocks[1].attn1
    attention.to_q, attention.to_k = attention.to_k, attention.to_q


def qk_epsilon(state):
    attention = state["reference"].transformer.transformer_blocks[2].attn1
    attention.norm_q.eps = attention.norm_k.eps = 1e-3
    attention = state["reference"].transformer.transformer_blocks[2].attn2
    attention.norm_q.eps = attention.norm_k.eps = 1e-3


def attention_bias(state):
    state["reference"].transformer.transformer_blocks[0].attn2.to_out[0].bias.data.zero_()


def neighbour(state):
    blocks = state["reference"].transformer.transformer_blocks
    blocks[2].ff = copy.deepcopy(blocks[1].ff)


def cross_heads(state):
    attention = state["reference"].transformer.transformer_blocks[1].attn2
    attention.heads //= 2


def unmasked(state):
    """Cross-attention that sees the padding of the prompt."""
    state["unmasked"] = True


def guidance_scale(state):
    state["guidance"] = lambda guidance: guidance / state["reference"].transformer.config.guidance_embeds_scale


def late_time(state):
    """The time of the step after: off by one."""
    transformer, times = state["reference"].transformer, state["reference"].times(STEPS)
    flow = [(torch.sin(t) / (torch.sin(t) + torch.cos(t))).item() for t in times]
    embed = transformer.time_embed.forward
    transformer.time_embed.forward = lambda time, **rest: embed(
        torch.full_like(time, flow[min(range(len(flow)), key=lambda i: abs(flow[i] - time.item())) + 1]), **rest)


def head_grouping(state):
    """q, k and v of the autoencoder taken as three blocks, not head by head."""
    for stage in state["reference"].vae.decoder.up_blocks:
        for block in stage:
            attention = getattr(block, "attn", None)
            if attention is None:
                continue
            dimension = attention.attention_head_dim
            branches = 1 + len(attention.to_qkv_multiscale)
            # ReLU comes after the engine has taken what it thinks are q and k.
            attention.nonlinearity = torch.nn.Identity()
            # The attention gets q, k and v as [batch, branches x heads, dimension, tokens].
            for name in ("apply_linear_attention", "apply_quadratic_attention"):
                apply = getattr(attention, name)
                def wrong(query, key, value, apply=apply, dimension=dimension, branches=branches):
                    joined = torch.cat([query, key, value], dim=2)
                    batch, heads, _, tokens = joined.shape
                    thirds = joined.reshape(batch, branches, 3, heads // branches, dimension, tokens)
                    query, key, value = (thirds[:, :, part].reshape(batch, heads, dimension, tokens) for part in range(3))
                    return apply(query.relu(), key.relu(), value)
                setattr(attention, name, wrong)


def decoder_epsilon(state):
    for module in state["reference"].vae.decoder.modules():
        if hasattr(module, "eps") and module.__class__.__name__ == "RMSNorm":
            module.eps = 1e-3


def scaling_factor(state):
    vae = state["reference"].vae
    factor = vae.config.scaling_factor
    vae.register_to_config(scaling_factor=1.0)
    state["factor"] = factor


def shortcut(state):
    state["reference"].vae.decoder.in_shortcut = False


def turned_kernels(state):
    convolution = state["reference"].vae.decoder.up_blocks[1][1].conv1
    convolution.weight.data = convolution.weight.data.flip(2, 3)


def half_overflow(state):
    """float16 in one stage, with values that leave its range."""
    state["reference"].vae.decoder.up_blocks[3].register_forward_hook(lambda _, __, output: (output * 60000).half().float() / 60000)


def blue_first(state):
    state["image"] = lambda picture: picture.flip(2).contiguous()


def transposed_latents(state):
    state["latents"] = lambda latents: latents.transpose(2, 3).reshape(latents.shape).contiguous()


DEFECTS = [
    (soft_cap, TEXT), (text_epsilon, TEXT), (embedding_scale, TEXT[:2] + ["text.embed"]), (exchange_gate_up, TEXT + ["text.layer.1"]), (norm_offset, TEXT),
    (exact_gelu, ["dit.caption"]), (exchange_qk, BLOCKS), (qk_epsilon, BLOCKS), (attention_bias, BLOCKS), (neighbour, BLOCKS), (cross_heads, BLOCKS),
    (unmasked, BLOCKS), (guidance_scale, BLOCKS + ["dit.guidance"]), (late_time, BLOCKS), (head_grouping, DEEP), (decoder_epsilon, DEEP),
    (scaling_factor, ["latents", "vae.dec.input"]), (shortcut, DEEP), (turned_kernels, ["vae.dec.stage.[12]"]), (half_overflow, ["vae.dec.stage.[34]"]),
    (blue_first, ["image", "image_u8"]), (transposed_latents, ["dit.step1.denoised", "latents", "vae.dec.input"]),
]


def write(name, tensors, meta, patterns):
    kept = {key: value for key, value in sorted(tensors.items()) if any(fnmatch.fnmatch(key, pattern) for pattern in patterns) and not key.startswith("vae.enc")}
    save_file(kept, HERE / "defects" / f"{name}.safetensors", metadata={"meta": json.dumps(meta)})
    print(name, len(kept), sum(value.numel() * value.element_size() for value in kept.values()))


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    os.makedirs(HERE / "defects", exist_ok=True)
    write("reference", *run(), ["*"])
    for patch, patterns in DEFECTS:
        write(patch.__name__, *run(patch), patterns)
    # The ids of a run with the instruction: the same prompt, as an engine takes it that always sets the instruction before it.
    tensors, meta = run(with_instruction)
    write("instruction", tensors, meta, ["text.input_ids", "text.attention_mask"])


if __name__ == "__main__":
    main()

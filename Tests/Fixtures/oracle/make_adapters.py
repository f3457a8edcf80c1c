#!/usr/bin/env python3
"""Adapters for ../mini as PEFT and diffusers, kohya and OneTrainer write them, and what stock diffusers with PEFT computes with them.

Writes ../adapters/NAME.safetensors and ../adapters/trace-NAME.safetensors: ../mini at 96 x 64 pixels in two steps without the instruction. In the traces the
adapters are layers of their own beside the model's, but for one that says so, in float32.
"""
import json
import pathlib
import tempfile

import torch
from diffusers import SanaSprintPipeline
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dump_trace import Trace
from reference import DEMO_PROMPT, GUIDANCE, Reference, draw_noise, eight_bit

HERE = pathlib.Path(__file__).resolve().parent.parent
FOLDER, OUT, HEIGHT, WIDTH, STEPS, SEED = str(HERE / "mini"), HERE / "adapters", 64, 96, 2, 0
PEFT = dict(
    r=4, lora_alpha=6, target_modules=["to_q", "to_k", "to_v", "to_out.0", "conv_inverted", "conv_point", "proj_out", "linear_1", "patch_embed.proj"],
    rank_pattern={"transformer_blocks.1.attn1.to_q": 2, "conv_point": 3}, alpha_pattern={"^transformer_blocks.0.attn2.to_v": 2.5})
SECOND = dict(r=3, lora_alpha=2, use_rslora=True, lora_bias=True, target_modules=["attn1.to_out.0", "attn2.to_k", "conv_inverted"])
DORA = dict(r=2, lora_alpha=3, use_dora=True, target_modules=["attn1.to_q", "attn1.to_v", "attn2.to_k", "attn2.to_out.0", "conv_point"])
TEXT = dict(r=2, lora_alpha=5, target_modules=["q_proj", "v_proj", "down_proj", "gate_proj"])


def draw(module, seed):
    """Values of a size that shows, in place of PEFT's start, which changes nothing."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if "lora_magnitude_vector" in name:
            parameter.data *= 1 + 0.2 * torch.randn(parameter.shape, generator=generator)
        elif "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * (parameter[0].numel() ** -0.5 if "lora_A" in name else 0.1)


def write_peft(name, settings, seed, dtype):
    """A file of SanaSprintPipeline.save_lora_weights, with the settings in its header."""
    transformer = Reference(FOLDER).transformer
    transformer.add_adapter(LoraConfig(init_lora_weights=True, **settings))
    draw(transformer, seed)
    layers = {key: value.detach().to(dtype).contiguous() for key, value in get_peft_model_state_dict(transformer).items()}
    with tempfile.TemporaryDirectory() as folder:
        SanaSprintPipeline.save_lora_weights(folder, transformer_lora_layers=layers, **_collate_lora_metadata({"transformer": transformer}))
        (OUT / f"{name}.safetensors").write_bytes((pathlib.Path(folder) / "pytorch_lora_weights.safetensors").read_bytes())


def alphas(path):
    """The alpha of each module of a file with PEFT's settings in its header, by the plain rules of the settings above."""
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["lora_adapter_metadata"])
    pattern = {key.lstrip("^"): value for key, value in settings["transformer.alpha_pattern"].items()}
    return lambda module: float(next((value for key, value in pattern.items() if module.endswith(key)), settings["transformer.lora_alpha"]))


def write_kohya(source, target):
    """The same adapter in kohya's names: everything flattened, alphas as tensors."""
    alpha, result = alphas(source), {}
    for key, value in load_file(source).items():
        module, part = key.removeprefix("transformer.").split(".lora_")
        flat = "lora_unet_" + module.replace(".", "_")
        result[f"{flat}.lora_{ {'A': 'down', 'B': 'up'}[part[0]] }.weight"] = value
        result[f"{flat}.alpha"] = torch.tensor(alpha(module), dtype=value.dtype)
    save_file(result, target, metadata={"ss_network_module": "networks.lora", "ss_network_dim": "4", "ss_network_alpha": "6.0"})


def write_onetrainer(source, target, text):
    """The same adapter in OneTrainer's names, with one of the text encoder."""
    alpha, result = alphas(source), {}
    for key, value in load_file(source).items():
        module, part = key.split(".lora_")
        result[f"{module}.lora_{ {'A': 'down', 'B': 'up'}[part[0]] }.weight"] = value
        result[f"{module}.alpha"] = torch.tensor(alpha(module.removeprefix("transformer.")))
    for key, value in get_peft_model_state_dict(text).items():
        module, part = key.split(".lora_")
        result[f"text_encoder.{module}.lora_{ {'A': 'down', 'B': 'up'}[part[0]] }.weight"] = value.detach().contiguous()
        result[f"text_encoder.{module}.alpha"] = torch.tensor(float(TEXT["lora_alpha"]))
    save_file(result, target, metadata={"modelspec.architecture": "sana/lora"})


def text_adapter(model, weight=1.0):
    inject_adapter_in_model(LoraConfig(init_lora_weights=True, **TEXT), model)
    draw(model, 4)
    for module in model.modules():
        if hasattr(module, "scale_layer"):
            module.scale_layer(weight)
    return model


def trace(name, adapters, text=None, keep=(), merged=False):
    """One run with adapters [(file, weight)], and of the text encoder with the weight `text`."""
    reference = Reference(FOLDER)
    pipeline = reference.pipeline()
    for index, (path, _) in enumerate(adapters):
        pipeline.load_lora_weights(str(OUT), weight_name=f"{path}.safetensors", adapter_name=f"a{index}")
    pipeline.set_adapters([f"a{index}" for index in range(len(adapters))], [weight for _, weight in adapters])
    reference.transformer.float()  # PEFT keeps an adapter in the type of its file
    if merged:
        pipeline.fuse_lora()
    if text is not None:
        text_adapter(reference.text, text)
    found = Trace(["vae.*", *{"dit.caption", "text.layer.*", "image"} - set(keep)])
    found.watch_text(reference.text)
    found.drop.append("text.embed")
    found.watch_transformer(reference.transformer, range(len(reference.transformer.transformer_blocks)))
    ids, mask = reference.tokens(DEMO_PROMPT, False)
    found.probe("text.input_ids", ids.to(torch.int32))
    found.probe("text.attention_mask", mask.to(torch.int32))
    features, mask = reference.encode(ids, mask)
    found.probe("prompt_embeds", features)
    found.probe("prompt_mask", mask.to(torch.int32))
    start, noises = draw_noise(SEED, reference.latent_shape(HEIGHT, WIDTH), STEPS)
    found.probe("input.latents", start)
    times, guidance = reference.times(STEPS), reference.guidance(GUIDANCE)
    found.probe("dit.guidance", guidance)
    latents = reference.sample(features, mask, times, start, noises, guidance, found.probe, lambda index: setattr(found, "step", index))
    found.probe("latents", latents)
    image = reference.decode(latents)
    found.probe("image", image)
    found.probe("image_u8", eight_bit(image))
    found.save(str(OUT / f"trace-{name}.safetensors"), dict(
        prompt=DEMO_PROMPT, instruction=False, steps=STEPS, seed=SEED, guidance=GUIDANCE, height=HEIGHT, width=WIDTH, dtype="float32",
        timesteps=times.tolist(), adapters=[[path, weight] for path, weight in adapters], text_adapter=text))


@torch.no_grad()
def main():
    torch.set_num_threads(1)  # the thread count moves the last bits
    OUT.mkdir(exist_ok=True)
    write_peft("peft", PEFT, 1, torch.bfloat16)
    write_peft("second", SECOND, 2, torch.float16)
    write_peft("dora", DORA, 3, torch.float32)
    write_kohya(OUT / "peft.safetensors", OUT / "kohya.safetensors")
    write_onetrainer(OUT / "peft.safetensors", OUT / "onetrainer.safetensors", text_adapter(Reference(FOLDER).text))
    trace("weight", [("peft", 0.7)], keep=["dit.caption", "image"])
    trace("two", [("peft", 0.5), ("second", -1.2)])
    trace("dora", [("dora", 0.8)])
    # Beside a layer DoRA scales the bias of an adapter before it too, merged it does not: merging is what is done here.
    trace("dora-two", [("second", 0.6), ("dora", 0.8)], merged=True)
    trace("onetrainer", [("peft", 0.6)], text=0.6, keep=["text.layer.*"])


if __name__ == "__main__":
    main()

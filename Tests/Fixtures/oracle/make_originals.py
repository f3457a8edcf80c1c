"""The transformer and the autoencoder of a diffusers folder as their authors publish them: NVlabs' and mit-han-lab's names, in all containers,
prefixes and types that are met. For trying `sprintpack convert FILE --base FOLDER`; the files are not committed.

    python make_originals.py ../tiny-sprint /tmp/originals
"""
import argparse
import glob
import json
import os

import torch
from safetensors.torch import load_file, save_file

TRANSFORMER = [
    ("patch_embed.proj", "x_embedder.proj"), ("caption_projection.linear_1", "y_embedder.y_proj.fc1"), ("caption_projection.linear_2", "y_embedder.y_proj.fc2"),
    ("caption_norm", "attention_y_norm"), ("time_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
    ("time_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"), ("time_embed.guidance_embedder.linear_1", "cfg_embedder.mlp.0"),
    ("time_embed.guidance_embedder.linear_2", "cfg_embedder.mlp.2"), ("time_embed.linear", "t_block.1"), ("proj_out", "final_layer.linear"),
]
BLOCK = [
    ("attn1.norm_q", "attn.q_norm"), ("attn1.norm_k", "attn.k_norm"), ("attn1.to_out.0", "attn.proj"), ("attn2.to_q", "cross_attn.q_linear"),
    ("attn2.norm_q", "cross_attn.q_norm"), ("attn2.norm_k", "cross_attn.k_norm"), ("attn2.to_out.0", "cross_attn.proj"),
    ("ff.conv_inverted", "mlp.inverted_conv.conv"), ("ff.conv_depth", "mlp.depth_conv.conv"), ("ff.conv_point", "mlp.point_conv.conv"),
]


def load(folder):
    """All tensors of a component: shards, variants."""
    return {k: v for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))) for k, v in load_file(path).items()}


def original_transformer(weights):
    """The state_dict of NVlabs' model, with what training adds."""
    rest = dict(weights)
    result = {}
    width = rest["patch_embed.proj.weight"].shape[0]
    result["pos_embed"] = torch.zeros(1, 64, width)
    for new, old in TRANSFORMER:
        for suffix in ["weight", "bias"]:
            if f"{new}.{suffix}" in rest:
                result[f"{old}.{suffix}"] = rest.pop(f"{new}.{suffix}")
    result["y_embedder.y_embedding"] = torch.randn(300, result["y_embedder.y_proj.fc1.weight"].shape[1])
    result["final_layer.scale_shift_table"] = rest.pop("scale_shift_table")
    blocks = 1 + max(int(name.split(".")[1]) for name in rest)
    for i in range(blocks):
        new, old = f"transformer_blocks.{i}.", f"blocks.{i}."
        result[old + "scale_shift_table"] = rest.pop(new + "scale_shift_table")
        for suffix in ["weight", "bias"]:
            if f"{new}attn1.to_q.{suffix}" in rest:
                result[f"{old}attn.qkv.{suffix}"] = torch.cat([rest.pop(f"{new}attn1.to_{x}.{suffix}") for x in "qkv"])
            if f"{new}attn2.to_k.{suffix}" in rest:
                result[f"{old}cross_attn.kv_linear.{suffix}"] = torch.cat([rest.pop(f"{new}attn2.to_{x}.{suffix}") for x in "kv"])
            for a, b in BLOCK:
                if f"{new}{a}.{suffix}" in rest:
                    result[f"{old}{b}.{suffix}"] = rest.pop(f"{new}{a}.{suffix}")
    assert not rest, sorted(rest)
    result["logvar_linear.weight"], result["logvar_linear.bias"] = torch.randn(1, width), torch.randn(1)
    return result


def original_autoencoder(weights, config):
    """The state_dict of mit-han-lab's DC-AE."""
    result = {}
    for name, tensor in weights.items():
        half, module, *rest = name.split(".")
        rest = ".".join(rest)
        if module in ["down_blocks", "up_blocks"]:
            stage, block, inner = rest.split(".", 2)
            if inner.startswith("attn.to_") and inner[8:] in ["q.weight", "k.weight", "v.weight"]:
                if inner[8] == "q":
                    parts = [weights[f"{half}.{module}.{stage}.{block}.attn.to_{x}.weight"] for x in "qkv"]
                    result[f"{half}.stages.{stage}.op_list.{block}.context_module.main.qkv.conv.weight"] = torch.cat(parts)[:, :, None, None]
                continue
            attention, deep = "context_module.main.", ".conv" if config["downsample_block_type" if half == "encoder" else "upsample_block_type"] in [
                "pixel_unshuffle", "interpolate", "pixel_shuffle"] else ""
            if inner == "attn.to_out.weight":
                inner, tensor = attention + "proj.conv.weight", tensor[:, :, None, None]
            for new, old in [
                ("attn.norm_out.", attention + "proj.norm."), ("conv_out.conv_inverted.", "local_module.main.inverted_conv.conv."),
                ("conv_out.conv_depth.", "local_module.main.depth_conv.conv."), ("conv_out.conv_point.", "local_module.main.point_conv.conv."),
                ("conv_out.norm.", "local_module.main.point_conv.norm."), ("conv1.", "main.conv1.conv."), ("conv2.", "main.conv2.conv."),
                ("norm.", "main.conv2.norm."), ("conv.", f"main.conv{deep}."),
            ]:
                if inner.startswith(new):
                    inner = old + inner[len(new):]
                    break
            inner = inner.replace("attn.to_qkv_multiscale.", attention + "aggreg.").replace("proj_in.", "0.").replace("proj_out.", "1.")
            result[f"{half}.stages.{stage}.op_list.{block}.{inner}"] = tensor
        else:
            ends = {
                ("encoder", "conv_in"): "project_in.conv", ("encoder", "conv_out"): "project_out.main.op_list.0.conv",
                ("decoder", "conv_in"): "project_in.main.conv", ("decoder", "norm_out"): "project_out.op_list.0",
                ("decoder", "conv_out"): "project_out.op_list.2.conv",
            }
            if half == "encoder" and module == "conv_out" and not config["encoder_out_shortcut"]:
                ends[(half, module)] = "project_out.op_list.0.conv"
            result[f"{half}.{ends[(half, module)]}.{rest}"] = tensor
    return result


def strided(state):
    """The same values in views: transposed, channels-last, slices of larger storages."""
    result = {}
    for index, (name, tensor) in enumerate(state.items()):
        if tensor.dim() == 2:
            tensor = tensor.t().contiguous().t() if index % 2 else torch.cat([tensor, tensor * float("nan")], dim=1)[:, : tensor.shape[1]]
        elif tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        elif tensor.dim() == 1:
            tensor = torch.stack([tensor, tensor], dim=1)[:, 0]
        result[name] = tensor
    return result


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def write(source, target):
    os.makedirs(target, exist_ok=True)
    transformer = original_transformer(load(os.path.join(source, "transformer")))
    with open(os.path.join(source, "vae", "config.json"), encoding="utf-8") as file:
        autoencoder = original_autoencoder(load(os.path.join(source, "vae")), json.load(file))
    average = {name: tensor * 0.5 for name, tensor in transformer.items()}
    # The optimizer changes what it is given.
    trained = [torch.nn.Parameter(tensor.float()) for tensor in transformer.values()]
    optimizer = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in transformer.items()}
    training = {
        "state_dict": transformer, "state_dict_ema": average, "optimizer": optimizer.state_dict(), "scheduler": {"last_epoch": 3}, "epoch": 3,
        "rng_state": {"torch": torch.get_rng_state(), "torch_cuda": [torch.get_rng_state()]},
    }
    files = {
        "state_dict.pth": {"state_dict": transformer}, "bare.pth": transformer, "training.pth": training,
        "fsdp.bin": {name.replace("blocks.", "_fsdp_wrapped_module.blocks.", 1): tensor for name, tensor in transformer.items()},
        "ddp-compile.pth": {"state_dict": prefixed(transformer, "module._orig_mod.")}, "comfyui.pth": {"model": prefixed(transformer, "model.diffusion_model.")},
        "views.pth": {"state_dict": strided(transformer)}, "parameters.pth": {"state_dict": parameters},
        "autoencoder.pth": {"state_dict": autoencoder}, "autoencoder-views.pth": {"module": strided(autoencoder)},
    }
    for dtype in [torch.float32, torch.float16, torch.bfloat16]:
        cast = {name: tensor.to(dtype) for name, tensor in transformer.items()}
        files[f"{str(dtype)[6:]}.pth"] = {"state_dict": cast}
    for name, content in files.items():
        torch.save(content, os.path.join(target, name))
    save_file({k: v.contiguous() for k, v in prefixed(transformer, "model.diffusion_model.").items()}, os.path.join(target, "comfyui.safetensors"))
    save_file({k: v.contiguous() for k, v in autoencoder.items()}, os.path.join(target, "autoencoder.safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    arguments = parser.parse_args()
    write(arguments.source, arguments.target)

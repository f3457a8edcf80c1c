#!/usr/bin/env python3
"""One peer, loaded once and run on demand: bench.py starts this beside sprintpack and alternates the two.

    peers.py WORK BACKEND CHECKPOINT SIZE [--inputs FILE]

Prints "ready" when everything is loaded and warmed up, then answers each line of standard input with one run and one
line of JSON: its seconds, the result's relative L2 distance where there is something to compare with, and the peak
resident size so far. BACKEND is torch or openvino, then the arithmetic: torch-bf16, openvino-int8.
"""
import argparse
import json
import os
import pathlib
import resource
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "oracle"))

import torch  # noqa: E402

THREADS = int(os.environ.get("BENCH_THREADS", os.cpu_count()))
PROMPT = "a large red circle on a blue background, in the style of a child"
TOKENS = 300  # what the pipeline pads the prompt to


def load(checkpoint, part, dtype):
    from diffusers import AutoencoderDC, SanaTransformer2DModel
    classes = dict(transformer=SanaTransformer2DModel, vae=AutoencoderDC)
    return classes[part].from_pretrained(checkpoint, subfolder=part, torch_dtype=dtype).eval()


class Step(torch.nn.Module):
    """One evaluation of the transformer, as the pipeline calls it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latents, features, guidance, timestep, mask):
        return self.model(latents, encoder_hidden_states=features, encoder_attention_mask=mask, guidance=guidance, timestep=timestep,
                          return_dict=False)[0]

    @staticmethod
    def inputs(size, dtype, model=None):
        g = torch.Generator().manual_seed(0)
        side = size // 32
        channels = model.config.caption_channels if model else 2304
        mask = torch.zeros(1, TOKENS, dtype=dtype)
        mask[:, :20] = 1
        return (torch.randn(1, 32, side, side, generator=g).to(dtype), torch.randn(1, TOKENS, channels, generator=g).to(dtype),
                torch.tensor([0.45]).to(dtype), torch.tensor([0.5]).to(dtype), mask)


class Decode(torch.nn.Module):
    """The autoencoder's decoder."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latents):
        return self.model.decode(latents, return_dict=False)[0]

    @staticmethod
    def inputs(size, dtype, model=None):
        side = size // 32
        return (torch.randn(1, 32, side, side, generator=torch.Generator().manual_seed(0)).to(dtype),)


PARTS = dict(step=("transformer", Step), decode=("vae", Decode))


def torch_part(work, arithmetic, checkpoint, size):
    dtype = dict(fp32=torch.float32, bf16=torch.bfloat16)[arithmetic]
    part, wrapper = PARTS[work]
    module = wrapper(load(checkpoint, part, dtype))
    inputs = module.inputs(size, dtype, module.model)

    def run():
        with torch.inference_mode():
            return module(*inputs)
    return run


def openvino_part(work, arithmetic, checkpoint, size):
    """OpenVINO's own conversion; int8 is NNCF's post-training W8A8 with its settings for transformers and convolutions."""
    import openvino
    part, wrapper = PARTS[work]
    cache = pathlib.Path(checkpoint) / ".openvino" / f"{part}-{size}-{'int8' if arithmetic == 'int8' else 'fp32'}.xml"
    module = None
    if not cache.exists():
        module = wrapper(load(checkpoint, part, torch.float32))
        inputs = module.inputs(size, torch.float32, module.model)
        with torch.inference_mode():
            model = openvino.convert_model(module, example_input=inputs)
        model.reshape({index: openvino.PartialShape(list(value.shape)) for index, value in enumerate(inputs)})
        if arithmetic == "int8":
            import nncf
            kind = nncf.ModelType.TRANSFORMER if part == "transformer" else None
            model = nncf.quantize(model, nncf.Dataset([[i.numpy() for i in inputs]]), model_type=kind, subset_size=1)
        cache.parent.mkdir(exist_ok=True)
        openvino.save_model(model, cache, compress_to_fp16=False)
        del model
    inputs = [i.numpy() for i in wrapper.inputs(size, torch.float32, module and module.model)]
    del module
    core = openvino.Core()
    precision = dict(fp32="f32", bf16="bf16", int8="f32")[arithmetic]
    compiled = core.compile_model(core.read_model(cache), "CPU", {
        "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"})
    return lambda: torch.from_numpy(compiled(inputs)[0].copy())


def text(arithmetic, checkpoint):
    from reference import INSTRUCTION, TEXT_LENGTH
    from transformers import AutoTokenizer, Gemma2Model
    model = Gemma2Model.from_pretrained(checkpoint, subfolder="text_encoder", dtype=torch.bfloat16, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, subfolder="tokenizer")
    instruction = "\n".join(INSTRUCTION)
    length = len(tokenizer.encode(instruction)) + TEXT_LENGTH - 2
    batch = tokenizer([instruction + PROMPT], padding="max_length", max_length=length, truncation=True, return_tensors="pt")

    def run():
        with torch.inference_mode():
            return model(batch.input_ids, attention_mask=batch.attention_mask)[0]
    return run


def picture(arithmetic, checkpoint, size):
    """The stock pipeline, already loaded: prompt to PNG in one step."""
    from diffusers import SanaSprintPipeline
    pipeline = SanaSprintPipeline.from_pretrained(checkpoint, torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)

    def run():
        image = pipeline(PROMPT, num_inference_steps=1, intermediate_timesteps=None, height=size, width=size, use_resolution_binning=False,
                         generator=torch.Generator().manual_seed(0)).images[0]
        image.save(pathlib.Path(checkpoint) / "peer.png")
    return run


def conversion(checkpoint):
    """What a careful user's script does: every matrix to int8 with a scale for each row, the rest as it is, no hashes, no checks."""
    from safetensors import safe_open
    from safetensors.torch import save_file
    output = pathlib.Path(checkpoint) / "peer-int8.safetensors"

    def run():
        tensors = {}
        for file in sorted(pathlib.Path(checkpoint, "transformer").glob("*.safetensors")):
            with safe_open(file, "pt") as source:
                for name in source.keys():
                    weight = source.get_tensor(name)
                    if weight.ndim < 2 or "conv_depth" in name or "table" in name:
                        tensors[name] = weight
                        continue
                    rows = weight.float().flatten(1)
                    scale = (rows.abs().amax(1, keepdim=True) / 127).clamp(min=1e-30)
                    tensors[name] = (rows / scale).round_().to(torch.int8).reshape(weight.shape)
                    tensors[name + ".scale"] = scale.flatten()
        save_file(tensors, output)
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["convert", "step", "decode", "text", "picture"])
    parser.add_argument("backend")
    parser.add_argument("checkpoint")
    parser.add_argument("size", type=int)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    library, _, arithmetic = options.backend.partition("-")
    if options.work == "text":
        run = text(arithmetic, options.checkpoint)
    elif options.work == "convert":
        run = conversion(options.checkpoint)
    elif options.work == "picture":
        run = picture(arithmetic, options.checkpoint, options.size)
    else:
        run = dict(torch=torch_part, openvino=openvino_part)[library](options.work, arithmetic, options.checkpoint, options.size)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        print(json.dumps(dict(seconds=seconds, rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)), flush=True)


if __name__ == "__main__":
    main()

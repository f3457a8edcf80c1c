#!/usr/bin/env python3
"""Writes a checkpoint of random bfloat16 weights with the names, shapes and files of a real SANA-Sprint checkpoint, by numpy or PyTorch alone.

    make_random.py OUT [--preset 1600M|mini] [--without vae,text_encoder] [--like FOLDER] [--seed N] [--processes N]

Normal weights of the RMS that keeps activations finite (by fan-in; norms about their neutral value), drawn and written in pieces by as many processes
as there are cores: about 13 seconds of a core for each GB. The same seed gives the same bytes with the same library, however many processes. real-sizes.json has
the names and shapes; tokenizer and scheduler are copied from the checkpoint --like.
"""
import argparse
import ctypes
import json
import math
import multiprocessing
import os
import pathlib
import shutil

try:
    import numpy
except ImportError:
    numpy = None

HERE = pathlib.Path(__file__).resolve().parent
PIECE = 1 << 22
SHARD = 2_000_000_000
STEMS = dict(transformer="diffusion_pytorch_model", vae="diffusion_pytorch_model", text_encoder="model")
CLASSES = dict(transformer=["diffusers", "SanaTransformer2DModel"], vae=["diffusers", "AutoencoderDC"], text_encoder=["transformers", "Gemma2Model"])


def distribution(part, name, shape):
    """Mean and deviation of a tensor's values."""
    if name.endswith("scale_shift_table"):
        return 0, 1 / math.sqrt(shape[-1])
    if len(shape) >= 2:
        return 0, 0.03 if "embed_tokens" in name else 1 / math.sqrt(math.prod(shape[1:]))
    if name.endswith("weight"):  # a norm; Gemma stores its weight less one
        return (0 if part == "text_encoder" else 1), 0.1
    return 0, 0.02


def drawn(count, mean, deviation, seed):
    """The bytes of so many bfloat16."""
    if numpy is None:
        import torch
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(hash(seed) & 0x7FFFFFFFFFFFFFFF)
        values = torch.randn(count, generator=generator).mul_(deviation).add_(mean).to(torch.bfloat16)
        return ctypes.string_at(values.data_ptr(), 2 * count)
    values = numpy.random.Generator(numpy.random.SFC64(seed)).standard_normal(count, dtype=numpy.float32)
    values *= deviation
    values += mean
    bits = values.view(numpy.uint32)
    # To nearest, ties to even.
    bits += 0x7FFF + (bits >> 16 & 1)
    return (bits >> 16).astype(numpy.uint16).tobytes()


def write(piece):
    path, offset, count, mean, deviation, seed = piece
    data, handle = drawn(count, mean, deviation, seed), os.open(path, os.O_WRONLY)
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(handle, data[done:], offset + done)
    finally:
        os.close(handle)


def shards(tensors):
    """Lists of tensors of at most SHARD bytes, in order."""
    lists, size = [[]], 0
    for name, shape in tensors:
        byte_count = 2 * math.prod(shape)
        if lists[-1] and size + byte_count > SHARD:
            lists.append([])
            size = 0
        lists[-1].append((name, shape))
        size += byte_count
    return lists


def planned(part, sizes, folder, seed):
    """Writes a part's configuration, index and headers; yields the pieces that fill its files."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(sizes["config"], indent=2))
    tensors = [(name.replace("{}", str(first + k)), shape) for name, first, count, shape in sizes["tensors"] for k in range(count)]
    lists, places, total = shards(tensors), {}, 0
    for number, listed in enumerate(lists):
        file = f"{STEMS[part]}.safetensors" if len(lists) == 1 else f"{STEMS[part]}-{number + 1:05d}-of-{len(lists):05d}.safetensors"
        header, end = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in listed:
            header[name] = dict(dtype="BF16", shape=shape, data_offsets=[end, end + 2 * math.prod(shape)])
            end, places[name] = header[name]["data_offsets"][1], file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / file, "wb") as output:
            output.write(len(text).to_bytes(8, "little") + text)
            output.truncate(8 + len(text) + end)
        for name, shape in listed:
            count, start = math.prod(shape), 8 + len(text) + header[name]["data_offsets"][0]
            for at in range(0, count, PIECE):
                total += 1
                yield str(folder / file), start + 2 * at, min(PIECE, count - at), *distribution(part, name, shape), (seed, list(STEMS).index(part), total)
    if len(lists) > 1:
        index = dict(metadata=dict(total_size=2 * sum(math.prod(shape) for _, shape in tensors)), weight_map=places)
        (folder / f"{STEMS[part]}.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="folder to write; must not exist")
    parser.add_argument("--preset", choices=["1600M", "mini"], default="1600M")
    parser.add_argument("--without", default="", help="parts to leave out, separated by commas")
    parser.add_argument("--like", type=pathlib.Path, default=HERE / "tiny-sprint", help="checkpoint whose tokenizer and scheduler are copied")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    sizes = json.loads((HERE / "real-sizes.json").read_text())[options.preset]
    without = set(filter(None, options.without.split(",")))
    if unknown := without - set(sizes):
        parser.error(f"--without: expected some of {', '.join(sizes)}, found {', '.join(sorted(unknown))}")
    options.out.mkdir(parents=True)
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(options.like / part, options.out / part)
    pieces = [piece for part in sizes if part not in without for piece in planned(part, sizes[part], options.out / part, options.seed)]
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        for _ in pool.imap_unordered(write, pieces, chunksize=1):
            pass
    index = {"_class_name": "SanaSprintPipeline", "scheduler": ["diffusers", "SCMScheduler"], "tokenizer": ["transformers", "GemmaTokenizerFast"]}
    index |= {part: CLASSES[part] if part not in without else [None, None] for part in sizes}
    (options.out / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True))
    print(f"{options.out}: {2 * sum(piece[2] for piece in pieces) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()

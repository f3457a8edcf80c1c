"""Files of torch.save below ../torch, each with what torch itself reads from it: views of storages, training files, old layouts."""
import hashlib
import os
import random

import numpy
import torch

from fixture_json import write_json

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torch")
DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
    torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL", torch.uint16: "U16", torch.float8_e4m3fn: "F8_E4M3",
}


def tensors():
    """Every way in which a state_dict's tensor can lie in its storage."""
    torch.manual_seed(0)
    wide = torch.randn(40, 50)
    cube = torch.randn(6, 5, 7)
    shared = torch.randn(100)
    result = {
        "plain": torch.randn(2, 3), "scalar": torch.tensor(2.5), "empty": torch.empty(0, 4), "transposed": torch.randn(35, 7).t(),
        "channels_last": torch.randn(3, 5, 4, 2).to(memory_format=torch.channels_last), "columns": wide[:, 10:20], "steps": wide[1::3, ::2],
        "permuted": cube.permute(2, 0, 1), "middle": cube[:, 2, :], "expanded": torch.randn(1, 6).expand(4, 6), "row": torch.randn(5).expand(3, 5),
        "first_half": shared[:50], "second_half": shared[50:], "ones": torch.randn(1, 4, 1, 3).transpose(1, 3),
        "parameter": torch.nn.Parameter(torch.randn(4, 4)),
    }
    marked = torch.nn.Parameter(torch.randn(3))
    marked.note = "an attribute"
    result["parameter_with_state"] = marked
    attributed = torch.randn(3)
    attributed.note = {"a": 1}
    result["attributed"] = attributed
    for dtype, name in DTYPES.items():
        result["dtype." + name] = (torch.randn(3, 4) * 20).to(dtype).t()
    return result


def bytes_of(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def description(tensors):
    return {
        name: {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "sha256": hashlib.sha256(bytes_of(tensor)).hexdigest()}
        for name, tensor in tensors.items()
    }


def training():
    """What a training script saves: weights, their average, the optimizer, states of all random generators."""
    torch.manual_seed(1)
    random.seed(1)
    numpy.random.seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.LayerNorm(3))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 5)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    average = {name: value * 0.5 for name, value in model.state_dict().items()}
    rng = {
        "torch": torch.get_rng_state(), "torch_cuda": [], "numpy": numpy.random.get_state(), "python": random.getstate(),
        "generator": torch.Generator().get_state(),
    }
    return {
        "state_dict": model.state_dict(), "state_dict_ema": average, "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "epoch": 3,
        "loss": numpy.float64(0.25), "rng_state": rng,
    }


def main():
    os.makedirs(FOLDER, exist_ok=True)
    views = tensors()
    torch.save(views, os.path.join(FOLDER, "views.pth"))
    torch.save(views, os.path.join(FOLDER, "legacy.pth"), _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    torch.save({"weight": torch.arange(6.0).reshape(2, 3)}, os.path.join(FOLDER, "no-checksums.pth"))
    torch.serialization.set_crc32_options(True)
    torch.save({"weight": torch.arange(6.0).reshape(2, 3)}, os.path.join(FOLDER, "protocol-4.pth"), pickle_protocol=4)
    torch.save(torch.nn.Linear(2, 3), os.path.join(FOLDER, "module.pth"))
    content = training()
    torch.save(content, os.path.join(FOLDER, "training.pth"))
    write_json(
        os.path.join(FOLDER, "expected.json"),
        {"torch": torch.__version__, "views": description(views), "training": {
            key: description(content[key]) for key in ["state_dict", "state_dict_ema"]}},
        indent=1)


if __name__ == "__main__":
    main()

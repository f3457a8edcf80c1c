"""Operations of the models, counted from the shapes in a checkpoint: 2 per multiply-accumulate of linears and convolutions."""
import json
import math
import struct

TEXT_TOKENS = 20


def shapes(folder):
    """Names and shapes of all tensors of a component's safetensors files."""
    for file in sorted(folder.glob("*.safetensors")):
        with open(file, "rb") as stream:
            length, = struct.unpack("<Q", stream.read(8))
            for name, entry in json.loads(stream.read(length)).items():
                if name != "__metadata__":
                    yield name, entry["shape"]


def input_bytes(folder):
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def step(checkpoint, size):
    """One evaluation of the transformer, without what depends on the prompt alone."""
    tokens = (size // 32) ** 2
    return sum(2 * math.prod(shape) * tokens for name, shape in shapes(checkpoint / "transformer")
               if len(shape) >= 2 and name.startswith("transformer_blocks") and "table" not in name and not name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")))


def decode(checkpoint, size):
    """The decoder, with up-convolutions folded into four 2x2 ones."""
    total = 0
    for name, shape in shapes(checkpoint / "vae"):
        part = name.split(".")
        if part[0] != "decoder" or len(shape) < 2:
            continue
        stage = int(part[2]) if part[1] == "up_blocks" else 5 if part[1] == "conv_in" else 0
        folded = 4 / 9 if part[1] == "up_blocks" and part[3] == "0" and part[4] == "conv" else 1
        total += 2 * math.prod(shape) * folded * (size >> stage) ** 2
    return total


def text_bytes(checkpoint):
    """Bytes of the text encoder's layers with one byte for each weight: what a short prompt has to read."""
    return sum(math.prod(shape) for name, shape in shapes(checkpoint / "text_encoder") if "layers." in name)

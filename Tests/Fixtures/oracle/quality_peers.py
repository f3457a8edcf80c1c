"""Other people's quantizers on a SANA-Sprint transformer: each gives a function that predicts velocities, and the bytes of its weights.

Those that can be told quantize what sprintpack does: linears and 1x1 convolutions of the blocks, but the keys and values of cross-attention.
What a peer leaves unquantized is counted as the checkpoint stores it, 16 bits an element; what it makes at its own size.
"""
import copy
import importlib.metadata
import os
import re

import torch

os.environ.setdefault("SDNQ_USE_TORCH_COMPILE", "0")


QUANTIZED = re.compile(r"transformer_blocks\.\d+\.(attn1\.to_[qkv]|attn2\.to_q|attn[12]\.to_out\.0|ff\.conv_(inverted|point))$")


def left_out(model):
    """Names of all other layers."""
    return [name for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and not QUANTIZED.fullmatch(name)]


def inner_tensors(tensor):
    """The plain tensors in a quantized one."""
    if not hasattr(tensor, "__tensor_flatten__") or type(tensor) in (torch.Tensor, torch.nn.Parameter):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [plain for name in names for plain in inner_tensors(getattr(tensor, name))]


def stored_bytes(model, originals):
    total = 0
    for name, tensor in model.state_dict().items():
        plain = inner_tensors(tensor) if isinstance(tensor, torch.Tensor) else []
        kept = len(plain) == 1 and name in originals and plain[0].shape == originals[name] and plain[0].is_floating_point()
        total += sum(part.numel() * (2 if kept else part.element_size()) for part in plain)
    return total


def pytorch(change):
    """A peer that changes a copy of the PyTorch module."""
    def make(stock, cases):
        model = copy.deepcopy(stock.transformer)
        originals = {name: value.shape for name, value in model.state_dict().items()}
        model = change(model, stock, cases) or model
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point() and type(p) is torch.nn.Parameter), torch.float32)

        def velocity(case):
            return call(model, case, stock, dtype)
        return velocity, stored_bytes(model, originals)
    return make


def call(model, case, stock, dtype=torch.float32):
    x, tau, features, mask = (torch.from_numpy(case[name]) for name in ("x", "tau", "features", "mask"))
    with torch.no_grad():
        return model(x.to(dtype), encoder_hidden_states=features.to(dtype), encoder_attention_mask=mask, guidance=stock.guidance(4.5).to(dtype),
                     timestep=tau, return_dict=False)[0].float().numpy()


def bfloat16(model, stock, cases):
    return model.to(torch.bfloat16)


def sdnq(**options):
    def change(model, stock, cases):
        from sdnq.quantizer import sdnq_post_load_quant
        return sdnq_post_load_quant(model, quant_conv=True, torch_dtype=torch.float32, modules_to_not_convert=[f"{name}.weight" for name in left_out(model)], **options)
    return change


def torchao(name, **options):
    def change(model, stock, cases):
        import torchao.quantization as ao
        ao.quantize_(model, getattr(ao, name)(**options), filter_fn=lambda module, name: isinstance(module, torch.nn.Linear) and bool(QUANTIZED.fullmatch(name)))
    return change


def quanto(weights, activations=None):
    def change(model, stock, cases):
        from optimum import quanto as q
        q.quantize(model, weights=getattr(q, weights), activations=activations and getattr(q, activations), exclude=left_out(model))
        with q.Calibration() if activations else torch.no_grad():
            for case in cases[:8]:
                call(model, case, stock)
        q.freeze(model)
    return change


def openvino(change):
    """A peer that works on OpenVINO's graph of the model."""
    def make(stock, cases):
        import tempfile
        import pathlib
        import openvino as ov

        names = ("hidden_states", "encoder_hidden_states", "timestep", "guidance", "encoder_attention_mask")
        arrays = lambda case: (case["x"], case["features"], case["tau"], stock.guidance(4.5).numpy(), case["mask"].astype("float32"))

        class Positional(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = stock.transformer

            def forward(self, *values):
                return self.model(**dict(zip(names, values)), return_dict=False)[0]

        with torch.no_grad():
            graph = ov.convert_model(Positional().eval(), example_input=tuple(map(torch.from_numpy, arrays(cases[0]))))
        graph = change(graph, [arrays(case) for case in cases[:32]])
        compiled = ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        with tempfile.TemporaryDirectory() as folder:
            ov.save_model(graph, pathlib.Path(folder) / "m.xml", compress_to_fp16=True)
            size = (pathlib.Path(folder) / "m.bin").stat().st_size
        return (lambda case: compiled(arrays(case))[0]), size
    return make


def nncf_w8a8(graph, inputs):
    import nncf
    return nncf.quantize(graph, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(inputs))


def nncf_weights(mode, **options):
    def change(graph, inputs):
        import nncf
        return nncf.compress_weights(graph, mode=getattr(nncf.CompressWeightsMode, mode), **options)
    return change


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# (package, what it does, how)
PEERS = [
    ("torch", "bfloat16", pytorch(bfloat16)),
    # Convolutions by their weights alone: products of int8 cost it another 6 dB there.
    ("sdnq", "int8", pytorch(sdnq(weights_dtype="int8", use_quantized_matmul=True))),
    ("sdnq", "int8, Hadamard 32", pytorch(sdnq(weights_dtype="int8", use_hadamard=True, hadamard_group_size=32, use_quantized_matmul=True))),
    ("sdnq", "int8, Hadamard 64, SVD 32", pytorch(sdnq(weights_dtype="int8", use_hadamard=True, hadamard_group_size=64, use_svd=True, svd_rank=32,
                                                       use_quantized_matmul=True))),
    ("sdnq", "int4 weights", pytorch(sdnq(weights_dtype="int4"))),
    ("sdnq", "int4 weights, SVD 32", pytorch(sdnq(weights_dtype="int4", use_svd=True, svd_rank=32))),
    ("torchao", "int8 weights and activations", pytorch(torchao("Int8DynamicActivationInt8WeightConfig"))),
    ("torchao", "int8 weights", pytorch(torchao("Int8WeightOnlyConfig"))),
    ("optimum-quanto", "int8 weights and activations", pytorch(quanto("qint8", "qint8"))),
    ("optimum-quanto", "int8 weights", pytorch(quanto("qint8"))),
    ("optimum-quanto", "int4 weights", pytorch(quanto("qint4"))),
    ("nncf", "W8A8", openvino(nncf_w8a8)),
    ("nncf", "int8 weights", openvino(nncf_weights("INT8_SYM"))),
    ("nncf", "int4 weights, groups of 32", openvino(nncf_weights("INT4_SYM", group_size=32, ratio=1.0))),
]

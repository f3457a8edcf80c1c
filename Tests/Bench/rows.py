"""The rows of the table: what is measured against whom, and the goal each is held against."""
import json
import subprocess
import sys

import measures
import operations
from work import Peer, Row

SIZE = 1024
BLOCKS = "transformer,vae-decoder,tokenizer"
# All that draws from a prompt, without the certificate, which takes longer than the rest.
DRAWING = BLOCKS + ",text-encoder,prefix-cache"


def ratio(name, unit, ours, theirs, peer_name, goal, floor=None, note=""):
    """A row whose goal bounds the ratio of our time to the peer's."""
    value = ours / theirs
    return Row(name, unit, ours, theirs, peer_name, value, f"goal <= {goal}x", value <= goal, floor, note, goal)


def convert(bench):
    folder = bench.checkpoint("full")
    output = bench.cache / "convert.sprint"
    size = operations.input_bytes(folder / "transformer") / 1e9

    def ours():
        answer = bench.sprintpack("convert", folder, "-o", output, "--preset", "int8", "--components", "transformer", "--force")
        return answer["seconds"] - answer["syncSeconds"]

    seconds, theirs, _ = bench.against(ours, Peer("convert", "torch-int8", folder, 0))
    yield Row("convert 1.6B, bf16 to int8", "GB/s", size / seconds, size / theirs, "PyTorch script", theirs / seconds, "goal >= 1.0 GB/s", size / seconds >= 1)

    seconds, peak = observed([bench.binary, "convert", folder, "-o", output, "--preset", "int8", "--force", "--no-quality", "--quiet"])
    whole = sum(operations.input_bytes(folder / part) for part in ("transformer", "vae", "text_encoder")) / 1e9
    yield Row("convert all, peak resident", "GiB", peak, goal="goal <= 1", holds=peak <= 1,
              note=f"{whole:.1f} GB in {seconds:.0f} s, synced")


# Between this process and the command: Linux counts what a process was before it became another program as resident, and this one has held planes of weights.
OBSERVER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(json.dumps([time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20]))
"""


def observed(command):
    """Seconds of a command that must succeed, and GiB resident at most."""
    result = subprocess.run([sys.executable, "-c", OBSERVER, *map(str, command)], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout)


def size(bench):
    for kind in ("gaussian", "outliers"):
        file = bench.packed(kind, "int8", "--components", "transformer")
        excess = measures.int8_excess(file)
        yield Row(f"int8 planes, {kind}", "% above order-0 entropy", 100 * excess, goal="goal <= 3.5", holds=excess <= 0.035)
        file = bench.packed(kind, "bf16", "--components", "transformer")
        share = measures.stored_share(file)
        yield Row(f"bf16 lossless, {kind}", "% of raw", 100 * share, goal="goal <= 69.5", holds=share <= 0.695)


def unpack(bench):
    file = bench.packed("outliers", "int8", "--components", BLOCKS)

    def rate():
        answer = bench.sprintpack("bench", file, "--unpack", "--runs", 1)
        return answer["decodedBytes"] / answer["stages"]["unpack all weights"]["median"] / 1e9

    value = bench.median(rate)
    yield Row("load and decode int8", "GB/s decoded", value, goal="goal >= 2", holds=value >= 2, floor=bench.machine["read_gb_per_s"])


def step(arithmetic):
    preset = dict(fp32="fp32", bf16="bf16", int8="int8")[arithmetic]
    goals = dict(fp32=[("openvino-fp32", 1.0)], bf16=[("openvino-bf16", 1.0)], int8=[("openvino-int8", 0.85), ("torch-bf16", 0.45)])[arithmetic]
    peak = dict(fp32="f32_gflops", bf16="bf16_gflops", int8="s8_gops")[arithmetic]

    def rows(bench):
        checkpoint = bench.checkpoint("outliers", bench.peer_layers)
        file = bench.packed("outliers", preset, "--components", BLOCKS, layers=bench.peer_layers)
        options = ["--compute", "bf16"] if arithmetic == "bf16" else []
        total = operations.step(checkpoint, SIZE)
        floor = total / bench.machine[peak] / 1e9 if peak in bench.machine else None
        part = "" if bench.peer_layers == 20 else f", {bench.peer_layers} of 20 blocks"
        for backend, goal in goals:
            ours, theirs, _ = bench.against(lambda: bench.step(file, SIZE, *options), Peer("step", backend, checkpoint, SIZE))
            yield ratio(f"DiT step, {arithmetic}{part}", "s", ours, theirs, backend, goal, floor, f"{total / ours / 1e9:.0f} G/s")
    return rows


def decode(arithmetic):
    goal = dict(fp32=0.85, int8=0.30)[arithmetic]
    peak = dict(fp32="f32_gflops", int8="s8_gops")[arithmetic]

    def rows(bench):
        checkpoint = bench.checkpoint("outliers")
        file = bench.packed("outliers", arithmetic, "--components", BLOCKS)
        total = operations.decode(checkpoint, SIZE)
        ours, theirs, _ = bench.against(lambda: bench.stage("decode picture", file, SIZE), Peer("decode", "openvino-fp32", checkpoint, SIZE))
        yield ratio(f"DC-AE decode, {arithmetic}", "s", ours, theirs, "openvino-fp32", goal, total / bench.machine[peak] / 1e9, f"{total / ours / 1e9:.0f} G/s")
    return rows


def decode_error(bench):
    """The int8 decoder's picture against the float one's, from equal latents."""
    for kind, goal in (("outliers", 0.15), ("gaussian", 0.03)):
        exact = bench.cache / "float-decoder.rules"
        # The same transformer in both files, so that both decoders get the same latents.
        exact.write_text("vae.dec.* f32\n")
        pictures = []
        for options in ([], ["--rules", exact]):
            file = bench.cache / "decode-error.sprint"
            bench.sprintpack("convert", bench.checkpoint(kind), "-o", file, "--preset", "int8", "--components", BLOCKS, "--force", *options)
            trace = bench.cache / f"decode-error-{len(pictures)}.safetensors"
            bench.sprintpack("generate", file, "--inputs", inputs(bench, 512), "--text-from-inputs", "--trace", trace, "-o", bench.cache / "a.png", "--force")
            pictures.append(trace)
        error = measures.relative_distance(*pictures, "image")
        yield Row(f"int8 decoder, {kind}", "relative error", error, goal=f"goal <= {goal}", holds=error <= goal)


def inputs(bench, size):
    """A trace with noise and prompt features alone, for files without a text encoder."""
    path = bench.cache / f"inputs-{size}.safetensors"
    if not path.exists():
        measures.write_inputs(path, size)
    return path


def text(bench):
    checkpoint = bench.checkpoint("full")
    file = bench.packed("full", "int8", "--components", DRAWING)
    floor = operations.text_bytes(checkpoint) / bench.machine["read_gb_per_s"] / 1e9
    ours, theirs, _ = bench.against(lambda: bench.stage("text encoder", file, 256), Peer("text", "torch-bf16", checkpoint, 0))
    yield ratio("text, 20-token prompt", "s", ours, theirs, "transformers bf16", 0.3, floor)


def picture(bench):
    checkpoint = bench.checkpoint("full")
    file = bench.packed("full", "int8", "--components", DRAWING)
    command = [bench.binary, "generate", file, "--prompt", "a large red circle on a blue background", "--steps", "1", "--seed", "0",
               "--width", SIZE, "--height", SIZE, "-o", bench.cache / "ours.png", "--force", "--quiet"]
    peaks = []

    def ours():
        seconds, peak = observed(command)
        peaks.append(peak)
        return seconds

    seconds, theirs, rss = bench.against(ours, Peer("picture", "torch-bf16", checkpoint, SIZE))
    yield ratio("prompt to PNG, 1 step", "s", seconds, theirs, "diffusers bf16, loaded", 0.40)
    yield Row("prompt to PNG, resident", "GiB", max(peaks), rss / 2**30, "diffusers bf16", goal="goal <= 3", holds=max(peaks) <= 3)


def scaling(bench):
    file = bench.packed("outliers", "int8", "--components", BLOCKS)
    decoding = lambda *arguments: bench.stage("decode picture", *arguments)
    for stage, name in ((bench.step, "DiT step"), (decoding, "DC-AE decode")):
        perPixel = {size: bench.median(lambda: stage(file, size)) / size**2 * 1e6 for size in (512, 1024, 2048)}
        spread = max(perPixel.values()) / min(perPixel.values()) - 1
        yield Row(f"{name}, time per pixel", "% spread 512-2048", 100 * spread, goal="goal <= 15", holds=spread <= 0.15,
                  note=", ".join(f"{size}: {value:.2f} us" for size, value in perPixel.items()))
        one = bench.median(lambda: stage(file, SIZE, "--threads", 1))
        speedup = one / perPixel[SIZE] / SIZE**2 * 1e6
        yield Row(f"{name}, 1 to {bench.threads} cores", "x", speedup, goal="goal >= 1.8", holds=speedup >= 1.8)


ROWS = {
    "convert": convert, "size": size, "unpack": unpack, "step-fp32": step("fp32"), "step-bf16": step("bf16"), "step-int8": step("int8"),
    "decode-fp32": decode("fp32"), "decode-int8": decode("int8"), "decode-error": decode_error, "text": text, "picture": picture, "scaling": scaling,
}

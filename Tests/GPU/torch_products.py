#!/usr/bin/env python3
"""The 120 large products of a step by PyTorch, beside ours: torch_products.py DEVICE [DIVISOR]. Sizes are divided where the code alone is tried."""
import statistics
import sys
import time

import torch

device, divisor = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
if device == "cuda" and not torch.cuda.is_available():
    sys.exit("torch sees no card")
# Outputs, depth, and how many of a block.
PRODUCTS = [(6720, 2240, 1), (2240, 2240, 3), (11200, 2240, 1), (2240, 5600, 1)]
BLOCKS, TOKENS = 20 if divisor == 1 else 1, 1024 // divisor


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


def milliseconds(calls):
    """The median of ten runs of all calls; on a card as one graph, so that launches cost nothing."""
    for call in calls:
        call()
    wait()
    run = lambda: [call() for call in calls]
    if device == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        run = graph.replay
    times = []
    for _ in range(10):
        wait()
        started = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def operands(outputs, depth, dtype):
    make = (lambda *s: torch.randint(-127, 128, s, dtype=dtype, device=device)) if dtype == torch.int8 else lambda *s: torch.randn(*s, dtype=dtype, device=device)
    return make(TOKENS, depth // divisor // 8 * 8), make(outputs // divisor // 8 * 8, depth // divisor // 8 * 8)


for name, dtype, product in [("bf16", torch.bfloat16, torch.mm), ("int8", torch.int8, torch._int_mm)]:
    try:
        pairs = [operands(outputs, depth, dtype) for outputs, depth, count in PRODUCTS for _ in range(count * BLOCKS)]
        # Weights of their own: they come from memory, as in the model.
        print(f"{name} {milliseconds([lambda x=x, w=w: product(x, w.t()) for x, w in pairs]):.3f}", flush=True)
    except RuntimeError as error:
        print(f"{name} cannot: {str(error).splitlines()[0][:100]}", flush=True)

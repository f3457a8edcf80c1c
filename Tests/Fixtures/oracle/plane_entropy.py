#!/usr/bin/env python3
"""How near the stored planes of a .sprint file are to what an entropy code could reach.

    plane_entropy.py FILE.sprint

For each element type and codec: content bytes, stored bytes, and the order-0 entropy of the bytes, taken per frame and per plane (of
zstd-split16: that of the high bytes, plus the low bytes as they are). Needs numpy, zstandard and xxhash.
"""
import pathlib, sys
from collections import defaultdict
import numpy, zstandard

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "Formats"))
import reader  # noqa: E402


def entropy_bytes(counts):
    total = counts.sum()
    used = counts[counts > 0]
    return float(-(used * numpy.log2(used / total)).sum() / 8)


def main(path):
    file = reader.File(path)
    sums = defaultdict(lambda: [0, 0, 0.0, 0.0])  # content, stored, entropy per frame, entropy per plane
    worst = defaultdict(lambda: (0.0, ""))
    for tensor in file.directory["tensors"]:
        for plane in tensor["planes"]:
            key = (plane["dtype"], plane["codec"])
            split = plane["codec"] == "zstd-split16"
            position, whole, totals = plane["offset"], numpy.zeros(256, numpy.int64), [0, 0, 0.0]
            for stored, size, _ in plane["frames"]:
                data = file.data[position:position + stored]
                position += stored
                low = size // 2 if split else 0
                if stored < size:
                    data = zstandard.ZstdDecompressor().decompress(bytes(data[:stored - low]), max_output_size=size - low)
                elif split:
                    data = data[1::2]
                counts = numpy.bincount(numpy.frombuffer(data, numpy.uint8), minlength=256)
                whole += counts
                totals = [totals[0] + size, totals[1] + stored, totals[2] + entropy_bytes(counts) + low]
            per_plane = entropy_bytes(whole) + (totals[0] // 2 if split else 0)
            for index, value in enumerate([*totals, per_plane]):
                sums[key][index] += value
            if totals[0] >= 1 << 20:
                worst[key] = max(worst[key], (totals[1] / totals[2] - 1, tensor["name"]))
    print(f"{'dtype':6} {'codec':13} {'content':>12} {'stored':>12} {'of content':>10} {'over frames':>11} {'over planes':>11}  worst plane of 1 MiB or more")
    for (dtype, codec), (content, stored, frames, planes) in sorted(sums.items()):
        excess, name = worst[dtype, codec]
        print(f"{dtype:6} {codec:13} {content:12} {stored:12} {100 * stored / content:9.2f}% {100 * (stored / frames - 1):+10.2f}% "
              f"{100 * (stored / planes - 1):+10.2f}%  {100 * excess:+.2f}% {name}")


if __name__ == "__main__":
    main(sys.argv[1])

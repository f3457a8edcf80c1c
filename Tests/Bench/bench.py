#!/usr/bin/env python3
"""Times sprintpack beside the best tools for the same work, on the same cores, in one go.

    bench.py BINARY [--cache FOLDER] [--rows convert,step-int8,...] [--layers N] [--runs N] [--json FILE] [--svg FILE]

Makes checkpoints of the published sizes with random weights (kept in the cache folder), packs them, and then for each
row runs sprintpack and its peer in turn, so that a busy moment of the machine hits both. Figures are medians. Beside
each stands its floor: the operations over the rate that this machine's arithmetic units reach in registers, or the
bytes over what its memory delivers (peaks.c).
"""
import argparse
import json
import os
import pathlib
import sys

import chart
import rows
from work import Bench

HERE = pathlib.Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path,
                        default=pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "sprintpack-bench",
                        help="where checkpoints and packed files are kept; about 40 GB")
    parser.add_argument("--rows", help="only these rows, by name: " + ", ".join(rows.ROWS))
    parser.add_argument("--layers", type=int, default=20, help="blocks of the transformer; beside OpenVINO at most 4 on a machine with less than 32 GB, which it would swap")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--svg", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = arguments()
    chosen = options.rows.split(",") if options.rows else list(rows.ROWS)
    if unknown := set(chosen) - set(rows.ROWS):
        sys.exit(f"unknown rows: {', '.join(sorted(unknown))}; there are {', '.join(rows.ROWS)}")
    bench = Bench(options.binary.resolve(), options.cache, options.layers, options.runs)
    print(json.dumps(bench.machine), flush=True)
    results = []
    for name in chosen:
        for result in rows.ROWS[name](bench):
            results.append(result)
            print(result.text, flush=True)
    fresh = [vars(result) for result in results]
    report = dict(machine=bench.machine, layers=options.layers, runs=options.runs, rows=fresh)
    if options.json:
        # Rows that this run did not measure stay.
        if options.json.exists():
            names = {(row["name"], row["peer_name"]) for row in fresh}
            report["rows"] = [row for row in json.loads(options.json.read_text())["rows"] if (row["name"], row["peer_name"]) not in names] + fresh
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.svg:
        options.svg.write_text(chart.svg(report))


if __name__ == "__main__":
    main()

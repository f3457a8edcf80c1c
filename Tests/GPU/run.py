#!/usr/bin/env python3
"""Checks and times SprintPack on a GPU, from the folder of bundle.sh, and prints one table. run.sh starts it where there is a card."""
import argparse
import json
import pathlib
import sys
import tempfile
import time

from machine import Failure, Machine, table
from parts import Parts


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", help="the folder with the program; run.sh's")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"), help="where all that is printed is kept")
    parser.add_argument("--seconds", type=float, help="all parts together; 235, or 900 in a rehearsal")
    parser.add_argument("--rehearse", type=pathlib.Path, metavar="LIBRARY", help="run all of it, at small sizes, on the stand-in driver")
    parser.add_argument("--parts", help="only these, by name, separated by commas")
    return parser.parse_args()


def main():
    with tempfile.TemporaryDirectory(prefix="sprintpack-gpu-") as scratch:
        return measured(arguments(), scratch)


def measured(options, scratch):
    """The exit code."""
    options.out.mkdir(parents=True, exist_ok=True)
    machine = Machine(
        options.out.resolve(), scratch, options.seconds or (900 if options.rehearse else 235), options.rehearse.resolve() if options.rehearse else None)
    parts, failed = Parts(machine), False
    known = [name for name, _, _ in parts.all()]
    wanted = options.parts.split(",") if options.parts else known
    if unknown := set(wanted) - set(known):
        sys.exit(f"--parts: expected some of {', '.join(known)}, found {', '.join(sorted(unknown))}")
    try:
        for name, seconds, part in parts.all():
            if name not in wanted:
                continue
            started = time.monotonic()
            machine.part_end = started + seconds * (4 if machine.rehearsal else 1)
            try:
                line = part()
            # A part that fails in a way that nobody thought of must not take the others with it.
            except Exception as error:
                failed = True
                line = f"FAILED: {error}" if isinstance(error, Failure) else f"FAILED: {type(error).__name__}: {error}"
                machine.row(name, "", "failed, as said above", False)
            machine.say(f"{name}: {line} [{time.monotonic() - started:.0f} s]")
    finally:
        parts.remove()
    rows = [("what", "goal", "seen", "holds"), *machine.rows]
    machine.say("\n" + table(rows))
    (machine.out / "report.txt").write_text("\n".join(machine.lines) + "\n")
    (machine.out / "report.json").write_text(json.dumps([dict(zip(rows[0], row)) for row in machine.rows], indent=2) + "\n")
    return 1 if failed or any(row[3] == "NO" for row in machine.rows) else 0


if __name__ == "__main__":
    sys.exit(main())

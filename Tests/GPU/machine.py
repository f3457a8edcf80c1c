"""What run.py works with: commands with time limits, the memory of the card, pictures, and the table at the end."""
import json
import os
import pathlib
import struct
import subprocess
import tarfile
import threading
import time
import zlib

HERE = pathlib.Path(__file__).resolve().parent
GIB = 1 << 30


class Failure(Exception):
    """Why a part could not go on, in one line."""


class Machine:
    """Where commands run: their environment, and the end of the time that all of them have.

    scratch: a folder for the program's libraries and the driver's caches.
    rehearsal: the stand-in driver's library, in whose place a card's driver is otherwise looked for.
    """

    def __init__(self, out, scratch, seconds, rehearsal=None):
        with tarfile.open(HERE / "lib.tar.xz") as packed:
            packed.extractall(scratch)
        self.libraries = {"LD_LIBRARY_PATH": f"{scratch}/lib"}
        self.out, self.rehearsal, self.end = out, rehearsal, time.monotonic() + seconds
        self.scratch = scratch
        # Nothing is compiled yet: what an earlier run left in the user's cache would hide a first start.
        self.environment = os.environ | {"CUDA_CACHE_PATH": f"{scratch}/cache"}
        if rehearsal:
            self.environment["SPRINTPACK_CUDA_LIBRARY"] = str(rehearsal)
        self.part_end, self.rows, self.lines = self.end, [], []

    def say(self, line):
        self.lines.append(line)
        print(line, flush=True)

    def row(self, what, goal, seen, holds=None):
        """A row of the table; holds is None where nothing is asked."""
        self.rows.append((what, goal, seen, "" if holds is None else "yes" if holds else "NO"))

    def below(self, what, goal, value, unit):
        self.row(what, f"<= {goal:g} {unit}", f"{value:.4g} {unit}", self.judged(value <= goal))

    def judged(self, holds):
        """Of times and bytes; nothing where the card is not one."""
        return None if self.rehearsal else holds

    def left(self):
        return min(self.end, self.part_end) - time.monotonic()

    def run(self, name, command, environment={}, passes=(0,)):
        """The standard output of a command, its seconds and its exit code. Both outputs are kept as OUT/NAME.txt and NAME.err."""
        left = self.left()
        if left <= 0.5:
            raise Failure(f"{name}: no time was left")
        started = time.monotonic()
        output, errors = self.out / f"{name}.txt", self.out / f"{name}.err"
        with open(output, "w") as to, open(errors, "w") as problems:
            process = subprocess.Popen([str(word) for word in command], stdout=to, stderr=problems, stdin=subprocess.DEVNULL, env=self.environment | environment)
            try:
                code = process.wait(timeout=left)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Failure(f"{name}: not done after {left:.0f} s") from None
        seconds, text = time.monotonic() - started, output.read_text(errors="replace")
        if code not in passes:
            last = (errors.read_text(errors="replace").strip() or text.strip() or "nothing").splitlines()[-1]
            raise Failure(f"{name}: exit {code}, {last[:300]}")
        return text, seconds, code

    def sprintpack(self, name, *words, passes=(0,), environment={}):
        """The answer of a verb, with its seconds from start to end as `wall` and its exit code as `code`."""
        text, seconds, code = self.run(name, [HERE / "sprintpack", *words, "--json", "--quiet"], self.libraries | environment, passes)
        try:
            return json.loads(text) | {"wall": seconds, "code": code}
        except json.JSONDecodeError:
            raise Failure(f"{name}: the answer is not JSON: {text[:100]!r}") from None


class CardMemory:
    """The most memory of the card in use meanwhile, in bytes beyond what was in use before; None where nvidia-smi is missing."""

    QUERY = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]

    def __enter__(self):
        self.most = None
        self.process = None
        try:
            self.before = int(subprocess.run(self.QUERY, capture_output=True, text=True, check=True, timeout=10).stdout)
            self.process = subprocess.Popen([*self.QUERY, "-lms", "20"], stdout=subprocess.PIPE, text=True)
            self.thread = threading.Thread(target=self._follow, daemon=True)
            self.thread.start()
        except (OSError, ValueError, subprocess.SubprocessError):
            pass
        return self

    def _follow(self):
        for line in self.process.stdout:
            if line.strip().isdigit():
                self.most = max(self.most or 0, (int(line) - self.before) << 20)

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.thread.join(timeout=5)


def pixels(path):
    """Rows of bytes of a PNG of 8 bits a sample, without interlacing, as sprintpack writes them."""
    data, at, packed = pathlib.Path(path).read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, _, color = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    size = {0: 1, 2: 3, 6: 4}[color]
    raw, rows, above = zlib.decompress(packed), [], bytearray(width * size)
    for y in range(height):
        start = y * (width * size + 1)
        how, row = raw[start], bytearray(raw[start + 1:start + 1 + width * size])
        for x in range(len(row)):
            left, up, corner = (row[x - size], above[x], above[x - size]) if x >= size else (0, above[x], 0)
            if how == 1:
                row[x] = row[x] + left & 255
            elif how == 2:
                row[x] = row[x] + up & 255
            elif how == 3:
                row[x] = row[x] + (left + up) // 2 & 255
            elif how == 4:
                guess = left + up - corner
                row[x] = row[x] + min((left, up, corner), key=lambda value: abs(guess - value)) & 255
        rows.append(row)
        above = row
    return rows


def difference(a, b):
    """How many levels two pictures are apart at most, and in how many samples."""
    pairs = [abs(x - y) for p, q in zip(pixels(a), pixels(b), strict=True) for x, y in zip(p, q, strict=True)]
    return max(pairs), sum(1 for d in pairs if d)


def table(rows):
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    line = lambda row: " | ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    return "\n".join([line(rows[0]), "-+-".join("-" * width for width in widths), *map(line, rows[1:])])

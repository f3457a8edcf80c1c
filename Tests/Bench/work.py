"""What bench.py works with: the machine's peaks, checkpoints, packed files, runs of sprintpack and of its peers."""
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ORACLE = HERE.parent / "Fixtures" / "oracle"


@dataclasses.dataclass
class Row:
    """One comparison: seconds of both, their ratio, the goal it is held against, and the floor under ours."""
    name: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    goal: str = ""
    holds: bool | None = None
    floor: float | None = None
    note: str = ""
    goal_ratio: float | None = None

    @property
    def text(self):
        number = lambda value: "-" if value is None else f"{value:.3g}"
        verdict = "" if self.holds is None else "  ok" if self.holds else "  MISSES"
        peer = f"  {self.peer_name} {number(self.peer)}, ratio {number(self.ratio)}" if self.peer is not None else ""
        floor = f"  (floor {number(self.floor)})" if self.floor is not None else ""
        return f"{self.name:28} {number(self.ours)} {self.unit}{floor}{peer}  {self.goal}{verdict}  {self.note}"


class Peer:
    """A peer in a process of its own, loaded and warm; one run per call."""

    def __init__(self, work, backend, checkpoint, size):
        arguments = [sys.executable, HERE / "peers.py", work, backend, checkpoint, str(size)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._line() != "ready":
            raise SystemExit(f"the peer {backend} failed:\n{self.process.stderr.read()[-2000:]}")

    def _line(self):
        # Libraries print to standard output too.
        for line in self.process.stdout:
            if line.startswith("ready") or line.startswith("{"):
                return line.strip()
        return None

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Bench:
    def __init__(self, binary, cache, layers, runs):
        self.binary, self.cache, self.layers, self.runs = binary, cache, layers, runs
        # NNCF took 21.5 GB for 20 blocks: rows whose peers are made from float32 weights get fewer where that would swap.
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.peer_layers = layers if memory >= 32e9 else min(layers, 4)
        cache.mkdir(parents=True, exist_ok=True)
        self.threads = os.cpu_count()
        os.environ["BENCH_THREADS"] = str(self.threads)
        peaks = cache / "peaks"
        subprocess.run(["clang", "-O2", "-pthread", HERE / "peaks.c", "-o", peaks], check=True)
        self.machine = json.loads(subprocess.run([peaks, str(self.threads)], check=True, capture_output=True, text=True).stdout)
        self.machine["cpu"] = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")

    # Material

    def checkpoint(self, kind, layers=None):
        """`full` (with Gemma-2 2B), `gaussian` and `outliers` (transformer and autoencoder alone)."""
        layers = layers or self.layers
        folder = self.cache / f"{kind}-{layers}"
        if not folder.exists():
            more = dict(full=["--text-encoder", "full"], gaussian=[], outliers=["--outliers"])[kind]
            # Under another name until it is whole.
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            subprocess.run([sys.executable, ORACLE / "make_checkpoint.py", unfinished, "--preset", "1600M", "--set",
                            f"transformer.num_layers={layers}", *more], check=True, stdout=sys.stderr)
            unfinished.rename(folder)
        return folder

    def packed(self, kind, preset, *options, layers=None):
        """A packed file, made anew by the binary under test."""
        checkpoint = self.checkpoint(kind, layers)
        output = self.cache / f"{checkpoint.name}-{preset}{'-'.join(options).replace(',', '-').replace('/', '-')}.sprint"
        self.sprintpack("convert", checkpoint, "-o", output, "--preset", preset, "--force", *options)
        return output

    # Runs

    def sprintpack(self, *arguments):
        result = subprocess.run([self.binary, *map(str, arguments), "--json"], capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(f"sprintpack {' '.join(map(str, arguments))} failed:\n{result.stdout}\n{result.stderr}")
        return json.loads(result.stdout)

    def stage(self, stage, file, size, *options, steps=1):
        """Seconds of one stage of `sprintpack bench`."""
        answer = self.sprintpack("bench", file, "--width", size, "--height", size, "--steps", steps, "--runs", 1, *options)
        return answer["stages"][stage]["median"]

    def step(self, file, size, *options):
        """Seconds of a step of the transformer when the first one has warmed up, as the peers are."""
        return self.stage("each step after the first", file, size, *options, steps=3)

    def against(self, ours, peer):
        """Medians of runs in turn: ours, the peer's, ours, ...; and the peer's resident size."""
        times, theirs, rss = [], [], 0
        for _ in range(self.runs):
            times.append(ours())
            answer = peer.run()
            theirs.append(answer["seconds"])
            rss = max(rss, answer["rss"])
        peer.close()
        return statistics.median(times), statistics.median(theirs), rss

    def median(self, run):
        return statistics.median(run() for _ in range(self.runs))

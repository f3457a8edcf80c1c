"""The parts of run.py: each measures one thing, says it in a line, and puts what is asked of it into the table."""
import importlib.util
import os
import pathlib
import re
import shutil
import statistics
import sys
import tempfile

from machine import GIB, HERE, CardMemory, Failure, difference

TINY, CONTROL = HERE / "tiny-sprint", HERE / "tiny-sprint-controlnet"
PROMPT = "a large red circle on a blue background, in the style of a child"
LONG_PROMPT = ", ".join([PROMPT] * 30)
# All that draws from a prompt, without the certificate, which takes longer to make than the rest.
DRAWING = "transformer,vae-decoder,tokenizer,text-encoder,prefix-cache"


class Parts:
    def __init__(self, machine):
        self.machine = machine
        self.rehearsal = machine.rehearsal is not None
        # What rows call the random checkpoint: a rehearsal's is small.
        self.model = "mini" if self.rehearsal else "1.6B"
        self.side = 64 if self.rehearsal else 1024
        self.work = None
        self.packed = None

    def all(self):
        """Name, seconds at most, and what is done."""
        return [
            ("card", 10, self.card), ("kernels", 50, self.kernels), ("tiny", 60, self.tiny), ("random", 130, self.real), ("sanitizer", 40, self.sanitizer),
            ("PyTorch", 30, self.torch), ("CPU", 50, self.scaling)]

    # Answers

    def draw(self, name, file, output, *words, device="cuda", steps=1, **more):
        return self.machine.sprintpack(name, "generate", file, "--steps", steps, "--device", device, "-o", self.machine.out / output, "--force", *words, **more)

    def size(self, side):
        return "--width", side, "--height", side

    def fresh(self, name):
        """An environment in which the driver has compiled nothing yet."""
        return {"CUDA_CACHE_PATH": tempfile.mkdtemp(prefix=f"cache-{name}-", dir=self.machine.scratch)}

    # Parts

    def card(self):
        processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
        self.machine.say(f"CPU: {processor}, {len(os.sched_getaffinity(0))} threads")
        if self.rehearsal:
            return "the stand-in driver: a rehearsal; times say nothing"
        fields = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu,memory.total"
        return self.machine.run("card", ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"])[0].strip()

    def kernels(self):
        library = [self.machine.rehearsal, 16] if self.rehearsal else []
        text, seconds, code = self.machine.run("kernels", [HERE / "bench-gpu", *library], self.fresh("kernels"), passes=(0, 1))
        self.machine.row("all shapes of int8 products and convolutions", "the same bits", text.strip().splitlines()[-1], code == 0)
        shares = [(what.strip(), float(share)) for what, share in re.findall(r"^launched: (.{34}) .* ([\d.]+) % of the peak", text, re.M)]
        for kind, chosen in [
            ("int8 products of a step", [s for s in shares if not s[0].startswith(("3x3", "text"))]), ("int8 convolutions", [s for s in shares if s[0].startswith("3x3")])]:
            if chosen:
                worst = min(chosen, key=lambda share: share[1])
                self.machine.row(f"{kind}, least share of the peak", ">= 60 %", f"{worst[1]:.0f} % ({worst[0]})", worst[1] >= 60)
        if peak := re.search(r"peak_i8 .*?([\d.]+) TOPS", text):
            self.machine.row("peak of mma.sync in int8", "", f"{float(peak[1]):.0f} TOPS")
        if products := re.search(r"120 int8 products of a step: ([\d.]+) ms", text):
            self.machine.row("the 120 int8 products of a step", "", f"{products[1]} ms")
        return f"{seconds:.1f} s, the compiling of the kernels included"

    def tiny(self):
        out, files = self.machine.out, {}
        for preset in ("fp32", "int8"):
            files[preset] = out / f"tiny-{preset}.sprint"
            more = [] if preset == "fp32" else ["--calibration", "none"]
            self.machine.sprintpack(
                f"tiny-convert-{preset}", "convert", TINY, "--controlnet", CONTROL, "-o", files[preset], "--preset", preset, "--no-quality", "--force", *more)
        prompt = ["--prompt", "a yellow star on a blue background", "--seed", 101]
        fresh, starts = self.fresh("tiny"), []
        size = self.size(64) if self.rehearsal else []
        for name, steps, words in [
            ("prompt", 1, []), ("control", 1, ["--control", CONTROL / "star-scribble.png"]),
            ("img2img", 4, ["--image", CONTROL / "star-picture.png", "--strength", 0.6])]:
            for device in ("cuda", "cpu"):
                answer = self.draw(
                    f"tiny-{name}-{device}", files["fp32"], f"tiny-{name}-{device}.png", *prompt, *size, *words, device=device, steps=steps, environment=fresh)
                starts.append(answer["wall"])
            levels, samples = difference(out / f"tiny-{name}-cuda.png", out / f"tiny-{name}-cpu.png")
            self.machine.row(f"tiny, fp32, {name}: the GPU's picture beside the CPU's", "<= 1 level", f"{levels} in {samples} samples", levels <= 1)
        for compute in ("bf16", "fp16"):
            for device in ("cuda", "cpu"):
                self.draw(
                    f"tiny-{compute}-{device}", files["fp32"], f"tiny-{compute}-{device}.png", *prompt, *size, "--compute", compute, device=device,
                    environment=fresh)
            levels, samples = difference(out / f"tiny-{compute}-cuda.png", out / f"tiny-{compute}-cpu.png")
            self.machine.row(f"tiny, --compute {compute}: the GPU's picture beside the CPU's", "", f"{levels} in {samples} samples")
        verify = self.machine.sprintpack("tiny-verify", "verify", files["int8"], "--device", "cuda", passes=(0, 1))
        self.machine.row("tiny, int8: verify --device cuda", "passes", f"exit {verify['code']}", verify["code"] == 0)
        again = self.draw("tiny-again", files["fp32"], "tiny-again.png", *prompt, *size, environment=fresh)
        return f"start to PNG {starts[0] * 1e3:.0f} ms the first time, {again['wall'] * 1e3:.0f} ms the second"

    def real(self):
        machine = self.machine
        checkpoint, packed = self._folder() / "checkpoint", self.work / "real.sprint"
        made = machine.run("real-make", [sys.executable, HERE / "make_random.py", checkpoint, "--preset", "mini" if self.rehearsal else "1600M"])
        machine.say(f"   made {made[0].strip().split(': ')[-1]} of random weights in {made[1]:.1f} s")
        answer = machine.sprintpack(
            "real-convert", "convert", checkpoint, "-o", packed, "--preset", "int8", "--calibration", "none", "--no-quality", "--components", DRAWING, "--force")
        self.packed = packed
        machine.row(f"{self.model}: convert to int8, without certificate and quality", "", f"{answer['wall']:.1f} s, {packed.stat().st_size / GIB:.2f} GiB")
        words = ["--prompt", PROMPT, *self.size(self.side)]
        self._steps([
            lambda: self._starts(words), lambda: self._bench(), lambda: self._series(words), lambda: self._verify()])
        return f"{self.side} x {self.side} pixels"

    def _folder(self):
        need = 1 << 28 if self.rehearsal else 16 * GIB
        for folder in ("/dev/shm", tempfile.gettempdir(), self.machine.out):
            if shutil.disk_usage(folder).free >= need and os.access(folder, os.W_OK):
                self.work = pathlib.Path(tempfile.mkdtemp(prefix="sprintpack-gpu-", dir=folder))
                return self.work
        raise Failure(f"expected {need / GIB:.0f} GiB free in /dev/shm, {tempfile.gettempdir()} or {self.machine.out}, found less in each")

    def _steps(self, steps):
        """All of them, whatever fails; what failed first is thrown at the end."""
        failures = []
        for step in steps:
            try:
                step()
            except Failure as failure:
                failures.append(failure)
                self.machine.say(f"   {failure}")
        if failures:
            raise failures[0]

    def _starts(self, words):
        fresh = self.fresh("real")
        first = self.draw("real-first", self.packed, "real.png", *words, environment=fresh)
        self.machine.below(f"{self.model}: first start ever to PNG, kernels compiled", 6, first["wall"], "s")
        second = self.draw("real-second", self.packed, "real.png", *words, environment=fresh)
        self.machine.below(f"{self.model}: start to PNG", 2.5, second["wall"], "s")
        self.machine.row(f"{self.model}: the program's own GPU memory, single picture", "", f"{second.get('peakDeviceBytes', 0) / GIB:.2f} GiB")

    def _verify(self):
        verify = self.machine.sprintpack("real-verify", "verify", self.packed, "--device", "cuda", passes=(0, 1))
        self.machine.row(f"{self.model}: verify --device cuda", "passes", f"exit {verify['code']} after {verify['wall']:.1f} s", verify["code"] == 0)

    def _bench(self):
        def stages(name, prompt, steps):
            answer = self.machine.sprintpack(
                f"real-bench-{name}", "bench", self.packed, "--device", "cuda", "--resident", "--runs", 1 if self.rehearsal else 7, "--steps", steps, "--prompt", prompt,
                *self.size(self.side))
            return {stage: times["median"] * 1e3 for stage, times in answer["stages"].items()}
        short = stages("20", PROMPT, 2)
        self.machine.below(f"{self.model}: step, weights resident", 6.5, short["each step after the first"], "ms")
        self.machine.below(f"{self.model}: decode, weights resident", 12, short["decode picture"], "ms")
        self.machine.below(f"{self.model}: text of 20 tokens, weights resident", 2, short["text encoder"], "ms")
        long = stages("300", LONG_PROMPT, 1)
        self.machine.row(f"{self.model}: text of 300 tokens, weights resident", "", f"{long['text encoder']:.3g} ms")

    def _series(self, words):
        count = 2 if self.rehearsal else 8
        prompts = [word for k in range(count) for word in ("--prompt", f"{PROMPT} {k}")]
        with CardMemory() as memory:
            answer = self.draw("real-series", self.packed, "series.png", *prompts, *words[2:])
        times = [picture["seconds"] * 1e3 for picture in answer["pictures"]]
        self.machine.below(f"{self.model}: whole picture in 1 step, weights resident", 20, statistics.median(times[1:]), "ms")
        own = answer.get("peakDeviceBytes", 0)
        if memory.most is None:
            self.machine.below(f"{self.model}: memory of the program's values, resident", 5, own / GIB, "GiB")
        else:
            self.machine.below(f"{self.model}: memory of the card, resident", 5, memory.most / GIB, "GiB")
            self.machine.row(f"{self.model}: of it the program's values", "", f"{own / GIB:.2f} GiB")

    def sanitizer(self):
        found = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
        file = self.machine.out / "tiny-int8.sprint"
        if not found:
            return "compute-sanitizer: not installed"
        if not file.exists():
            raise Failure("there is no tiny file")
        command = [HERE / "sprintpack", "generate", file, "--prompt", "a red heart", "--steps", 1, "--device", "cuda", "--force", *self.size(64)]
        for tool in ("memcheck", "racecheck"):
            sanitized = [found, "--tool", tool, "--error-exitcode", 9, "--print-limit", 5, *command, "-o", self.machine.out / f"{tool}.png"]
            _, seconds, code = self.machine.run(tool, sanitized, self.machine.libraries, passes=(0, 9))
            self.machine.row(f"compute-sanitizer {tool}, tiny int8 picture", "clean", f"exit {code} after {seconds:.0f} s", code == 0)
        return found

    def torch(self):
        if importlib.util.find_spec("torch") is None:
            return "torch: not installed"
        text = self.machine.run("torch", [sys.executable, HERE / "torch_products.py", *(["cpu", 16] if self.rehearsal else ["cuda"])])[0]
        for line in text.strip().splitlines():
            name, _, time = line.partition(" ")
            self.machine.row(f"the 120 products of a step by PyTorch in {name}", "", f"{time} ms" if time[0].isdigit() else time)
        return "torch_products.py"

    def scaling(self):
        """Of the random file where there is one, at half the side, else of the tiny one."""
        checkpoint = self.work / "checkpoint" if self.packed else TINY
        file = self.packed or self.machine.out / "tiny-int8.sprint"
        side = self.side // 2 if self.packed and not self.rehearsal else 64
        counts = [n for n in (16, 8, 4, 2, 1) if n <= len(os.sched_getaffinity(0))]
        first = None
        for count in counts:
            threads = ["--threads", count]
            convert = self.machine.sprintpack(
                f"cpu-convert-{count}", "convert", checkpoint, "-o", self.machine.out / "cpu.sprint", "--preset", "int8", "--components", "vae-decoder",
                "--calibration", "none", "--no-quality", "--force", *threads)
            bench = self.machine.sprintpack(f"cpu-bench-{count}", "bench", file, "--device", "cpu", "--runs", 1, "--steps", 1, *self.size(side), *threads)
            times = [convert["wall"], bench["stages"]["all steps"]["median"], bench["stages"]["decode picture"]["median"]]
            first = first or (count, times)
            gain = "" if count == first[0] else ", " + " ".join(f"{t / f:.1f}x" for t, f in zip(times, first[1])) + f" the time of {first[0]}"
            self.machine.row(
                f"CPU, {count} threads: convert the decoder, step, decode at {side} px", "", ", ".join(f"{time:.2f} s" for time in times) + gain)
        return f"{counts} threads"

    def remove(self):
        if self.work:
            shutil.rmtree(self.work, ignore_errors=True)

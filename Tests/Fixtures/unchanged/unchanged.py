#!/usr/bin/env python3
"""What the program makes of three fixtures, as hashes, beside the list of what it made before: for changes that shall change nothing.

    unchanged.py BIN            compare with hashes.txt; exit code 1 where something differs
    unchanged.py BIN --write    write this machine's hashes into the list, after a change of results that was meant

For every fixture and preset, and 1 and 2 steps:

    content    the directory of the packed file: SHA-256 of every plane and blob, errors, shapes. Integers and roundings: equal on every CPU
    stored     the same with the place, size and checksum of every stored frame: equal where the zstd library is the one named in the list
    attached   the attachments (prefix cache, certificate)
    picture    the PNG file without --trace: the instruction from the prefix cache, the decoder as one stream of rows
    trace      every probe, and the picture's bytes as probe `image_u8`

Attachments, pictures and traces are results of floating-point arithmetic, which every instruction set adds in an order of its own. The list has them for
each kind of kernels (`sprintpack --version`) on which it was written; on a CPU with others they are made, but not compared, and the last line says so.

Files name the program's version (`tool`), and the content hash, which covers it. A new version number alone changes these bytes; so they are put out of
all hashes here, and whole files are not in the list. Everything else in the files is.
"""
import hashlib, json, os, pathlib, re, struct, subprocess, sys, tempfile, zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "Formats"))
sys.dont_write_bytecode = True
import reader

# Results are the CPU's, whatever card is in the machine.
os.environ["SPRINTPACK_CUDA_LIBRARY"] = "/nonexistent/libcuda.so.1"
FIXTURES, PRESETS, STEPS = ("tiny-sprint", "mini", "odd"), ("fp32", "fp16", "bf16", "int8"), (1, 2)
PROMPT = "a large red circle on a blue background"


def digest(*parts):
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little") + part)
    return sha.hexdigest()


def without(value, names):
    """JSON without the members of these names, at any depth."""
    if isinstance(value, dict):
        return {key: without(item, names) for key, item in value.items() if key not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def text(value, *names):
    return reader.canonical_text(without(value, names)).encode()


def packed(path):
    """The version of zstd, and the hashes of a packed file. Each plane, blob and attachment is read, so that the directory's hashes are the content's."""
    file = reader.File(path)
    directory = file.directory
    sections = [plane for tensor in directory["tensors"] for plane in tensor["planes"]] + directory["blobs"]
    for section in sections:
        file.content(section, section["name"])
    attachments = [(entry["name"], file.content(entry, entry["name"])) for entry in file.attachments]
    for index, (name, data) in enumerate(attachments):
        if name.endswith(".json"):
            attachments[index] = (name, text(json.loads(data), "tool", "contentHash"))
    return directory["zstd"], {
        "content": digest(text(directory, "tool", "zstd", "offset", "frames")),
        "stored": digest(text(directory, "tool", "zstd")),
        "attached": digest(*(part for name, data in attachments for part in (name.encode(), data))),
    }


def picture(data):
    """The chunks of a PNG file: notes without version and content hash, pixels inflated, for another zlib packs them differently."""
    parts, pixels, at = [], b"", 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body, at = data[at + 8:at + 8 + size], at + 12 + size
        if kind == b"IDAT":
            pixels += body
        elif kind != b"iTXt":
            parts += [kind, body]
        elif (note := body.rsplit(b"\0", 1))[0].startswith(b"parameters"):
            parts += [kind, note[0], text(json.loads(note[1]), "tool", "model")]
    return digest(*parts, zlib.decompress(pixels))


def trace(data):
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    meta = header["__metadata__"]
    header["__metadata__"] = {key: text(json.loads(value), "tool", "model").decode() if key == "meta" else value for key, value in meta.items()}
    return digest(text(header), data[8 + size:])


def made(binary, folder, kernels):
    """One (name, hash) after the other; "zstd" is named with the library's version, and float results with the kernels that gave them."""
    def run(*arguments):
        subprocess.run([binary, *arguments, "--threads", "2", "--force", "-q"], check=True, cwd=folder)

    for fixture in FIXTURES:
        for preset in PRESETS:
            name = f"{fixture}.{preset}"
            run("convert", HERE.parent / fixture, "-o", "x.sprint", "--preset", preset, "--components", "all", "--no-quality", "--calibration", "none")
            version, hashes = packed(folder / "x.sprint")
            yield "zstd", version
            yield from ((f"{name}.{kind}" + f" {kernels}" * (kind == "attached"), hash) for kind, hash in hashes.items())
            for steps in STEPS:
                draw = ("generate", "x.sprint", "--prompt", PROMPT, "--steps", str(steps), "--seed", "3", "-o", "x.png")
                run(*draw)
                yield f"{name}.{steps}.picture {kernels}", picture((folder / "x.png").read_bytes())
                run(*draw, "--trace", "x.safetensors")
                yield f"{name}.{steps}.trace {kernels}", trace((folder / "x.safetensors").read_bytes())


def main(arguments):
    if len(arguments) not in (1, 2) or arguments[1:] not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 64
    binary, path = pathlib.Path(arguments[0]).resolve(), HERE / "hashes.txt"
    kernels = re.search(r"kernels (\S+?)[,)]", subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout)[1]
    then = dict(line.split(" ", 1)[::-1] for line in path.read_text().splitlines()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        now = dict(made(binary, pathlib.Path(folder), kernels))
    if arguments[1:]:
        others = {name: hash for name, hash in then.items() if " " in name and not name.endswith(f" {kernels}")}
        path.write_text("".join(f"{hash} {name}\n" for name, hash in (now | others).items()))
        return 0
    knows, frames = any(name.endswith(f" {kernels}") for name in then), now["zstd"] == then["zstd"]
    compared = [
        name for name in then | now
        if name != "zstd" and (frames or not name.endswith(".stored")) and (" " not in name or knows and name.endswith(f" {kernels}"))
    ]
    changed = [name for name in compared if now.get(name) != then.get(name)]
    for name in changed:
        print(f"changed: {name}: {then.get(name, 'not in the list')} before, {now.get(name, 'not made')} now")
    print(f"{len(compared) - len(changed)} of {len(compared)} unchanged, on {kernels}")
    if not knows:
        print(f"not compared: attachments, pictures, traces: float results, of which the list has none by {kernels}")
    if not frames:
        print(f"not compared: stored frames: zstd is {now['zstd']}, the list's {then['zstd']}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

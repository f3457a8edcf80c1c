#!/usr/bin/env python3
"""Computes figures of a verification's report again, with numpy, and holds them against the report and its page.

    figures.py widen CHECKPOINT TARGET                                   copy a checkpoint with its weights in float32
    figures.py check REPORT.json REPORT.html FILE CHECKPOINT EXPORT      FILE made of CHECKPOINT, EXPORT exported from FILE

`check` prints how many figures it compared, and what is wrong; its exit code is 1 where anything is.
The directory of FILE is read by Formats/reader.py, all weights from safetensors files.
"""
import html.parser
import json
import pathlib
import re
import shutil
import struct
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "Formats"))
import reader  # noqa: E402

FOLDERS = {"transformer": "transformer", "vae-decoder": "vae", "vae-encoder": "vae", "text-encoder": "text_encoder"}


def safetensors(path):
    """Name and float64 array of every tensor."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    for name, entry in json.loads(data[8:8 + length]).items():
        if name == "__metadata__":
            continue
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        bits = data[start:end]
        if entry["dtype"] == "BF16":
            values = (numpy.frombuffer(bits, "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = numpy.frombuffer(bits, {"F32": "<f4", "F16": "<f2", "F64": "<f8"}[entry["dtype"]])
        yield name, values.astype("<f8").reshape(entry["shape"])


def tensors(folder):
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in safetensors(path)}


def widen(source, target):
    for path in source.rglob("*"):
        place = target / path.relative_to(source)
        if path.parent.name == "goldens" or path.name == "goldens":
            continue
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif path.suffix != ".safetensors":
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            header, blocks, end = {}, [], 0
            for name, value in safetensors(path):
                block = value.astype("<f4").tobytes()
                header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [end, end + len(block)]}
                blocks.append(block)
                end += len(block)
            text = json.dumps(header).encode()
            text += b" " * (-len(text) % 8)
            place.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blocks))


class Page(html.parser.HTMLParser):
    """Rows of cells under each heading, and all words outside of charts."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.heading, self.row, self.inside, self.words = {}, "", None, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag in ("style", "svg", "h2", "td"):
            self.inside.append(tag)
        if tag == "h2":
            self.heading = ""
        if tag == "tr":
            self.row = []
            self.rows.setdefault(self.heading, []).append(self.row)
        if tag == "td":
            self.row.append("")

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if self.inside[:1] in (["style"], ["svg"]):
            return
        self.words.append(data)
        if self.inside[-1:] == ["h2"]:
            self.heading += data
        elif self.inside[-1:] == ["td"]:
            self.row[-1] += data


class Check:
    def __init__(self):
        self.count, self.problems = 0, []

    def equal(self, what, shown, expected):
        self.count += 1
        if shown != expected:
            self.problems.append(f"{what}: shown {shown}, expected {expected}")

    def near(self, what, shown, value):
        """A decimal that is `value` rounded to as many digits."""
        self.count += 1
        digits = re.fullmatch(r"-?\d+(?:\.(\d+))?(?:e([-+]\d+))?", shown)
        unit = 10.0 ** (int(digits[2] or 0) - len(digits[1] or "")) if digits else 0
        if not digits or abs(float(shown) - value) > 0.501 * unit:
            self.problems.append(f"{what}: shown {shown}, numpy has {value!r}")


def errors(file, checkpoint, export):
    """Relative L2 and largest error of every packed tensor, from float32 sources and exported values."""
    found = {}
    for tensor in file.directory["tensors"]:
        folder = FOLDERS[tensor["component"]]
        scaled = {source.get("rowScale") for source in tensor["sources"]} - {None}
        signal = noise = largest = 0.0
        for source in tensor["sources"]:
            name = source["name"]
            if name in scaled:
                continue
            known = {**{key.removeprefix("model."): key for key in checkpoint[folder]}, **{key: key for key in checkpoint[folder]}}
            value = checkpoint[folder][known[name]]
            if "rowScale" in source:
                factor = checkpoint[folder][known[source["rowScale"]]]
                value = (value.astype("f4") * factor.astype("f4").reshape([-1] + [1] * (value.ndim - 1))).astype("f8")
            known = {key.removeprefix("model."): key for key in export[folder]}
            difference = export[folder][known[name.removeprefix("model.")]] - value
            signal += float((value ** 2).sum())
            noise += float((difference ** 2).sum())
            largest = max(largest, float(abs(difference).max()))
        found[tensor["name"]] = ((noise / signal) ** 0.5 if noise else 0.0, largest)
    return found


def check(report, page, file, checkpoint, export):
    result = Check()
    tables = {table["title"]: table for table in report["tables"]}
    distances = errors(file, checkpoint, export)

    # The weights furthest from their source: which they are, in which order, and by how much.
    (worst,) = [table for title, table in tables.items() if title.startswith("Weights furthest")]
    order = sorted((name for name in distances if distances[name][0] > 0), key=lambda name: -distances[name][0])
    exact = len(distances) - len(order)
    result.equal("exact tensors", re.findall(r"\d+", worst["title"]), [str(exact), str(len(distances))])
    result.equal("worst tensors", [row[0] for row in worst["rows"]], order[:len(worst["rows"])])
    for name, _, decibels, relative, largest in worst["rows"]:
        result.near(f"{name}: SQNR", decibels, -20 * numpy.log10(distances[name][0]))
        result.near(f"{name}: relative L2", relative, distances[name][0])
        result.near(f"{name}: max abs", largest, distances[name][1])
    for tensor in file.directory["tensors"]:
        if "error" in tensor:
            for key, value in zip(("relativeL2", "maxAbs"), distances[tensor["name"]]):
                result.count += 1
                if not abs(tensor["error"][key] - value) <= 1e-9 * value:
                    result.problems.append(f"{tensor['name']}: recorded {key} {tensor['error'][key]}, numpy has {value!r}")

    # Sizes.
    sums = {}
    for tensor in file.directory["tensors"]:
        activations = f" ({tensor['activations']})" if "activations" in tensor else ""
        total = sums.setdefault((tensor["component"], tensor["scheme"] + activations), [0, 0, 0, 0])
        source = sum(int(numpy.prod(part["shape"], dtype="i8")) * reader.SIZES[part["dtype"]] for part in tensor["sources"])
        stored = sum(frame[0] for plane in tensor["planes"] for frame in plane["frames"])
        for index, value in enumerate((1, int(numpy.prod(tensor["shape"], dtype="i8")), source, stored)):
            total[index] += value
    result.equal("rows of sizes", len(tables["Sizes"]["rows"]), len(sums))
    for component, scheme, count, elements, source, stored, bits in tables["Sizes"]["rows"]:
        expected = sums[component, scheme]
        result.equal(f"sizes of {component} {scheme}", [int(count), int(elements), int(source), int(stored)], expected)
        result.near(f"bits of {component} {scheme}", bits, 8 * expected[3] / expected[1])

    # The page: cell by cell what the JSON says.
    for table in report["tables"]:
        rows = [row for row in page.rows.get(table["title"], []) if row]
        result.equal(f"page: {table['title']}", rows, table["rows"])
    for series in report["series"]:
        rows = {row[0]: row for row in page.rows[series["title"]] if row}
        result.equal(f"page: probes of {series['title']}", len(rows), len(series["probes"]))
        for probe in series["probes"]:
            row, metrics = rows[probe["name"]], probe["metrics"]
            what = f"page: {series['title']}: {probe['name']}"
            result.equal(what + ": relative L2", row[2], f"{metrics['relative_l2']:.3g}")
            result.equal(what + ": max abs", row[3], f"{metrics['max_abs']:.3g}")
            result.equal(what + ": SQNR", row[4], "exact" if metrics["sqnr_db"] is None else f"{metrics['sqnr_db']:.1f}")
            result.equal(what + ": cosine", row[5], f"{metrics['cosine']:.9f}")
            result.equal(what + ": ulp", row[6], str(metrics["max_ulp"]))
            result.equal(what + ": margin", row[8], "" if probe["margin"] is None else f"{probe['margin']:.3g}x")
    rungs = [row for row in page.rows["The ladder"] if row]
    keys = ("id", "passed", "claim", "measure", "gate", "margin", "reason")
    words = {True: "OK", False: "FAIL"}
    result.equal("page: rungs", rungs, [[words.get(rung[key], rung[key]) if key == "passed" else rung[key] for key in keys] for rung in report["rungs"]])

    # And whatever number stands anywhere on the page is one of the JSON, as it stands there or rounded.
    known = set()

    def take(value):
        if isinstance(value, dict):
            for key, item in value.items():
                take(key)
                take(item)
        elif isinstance(value, list):
            known.add(str(len(value)))
            for item in value:
                take(item)
        elif isinstance(value, str):
            known.update(NUMBER.findall(value))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            known.update(NUMBER.findall(" ".join([str(value), f"{value:.3g}"] + [f"{value:.{digits}f}" for digits in (0, 1, 2, 3, 4, 9)])))

    take(report)
    for number in NUMBER.findall(" ".join(page.words)):
        result.count += 1
        if number not in known:
            result.problems.append(f"page: {number} is not in the JSON")
    return result


NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def main(arguments):
    if arguments == ["--help"]:
        print(__doc__)
        return 0
    if arguments[0] == "widen":
        widen(pathlib.Path(arguments[1]), pathlib.Path(arguments[2]))
        return 0
    report, page, file, checkpoint, export = map(pathlib.Path, arguments[1:])
    folders = sorted(set(FOLDERS.values()))
    result = check(
        json.loads(report.read_text()), Page(page.read_text()), reader.File(file), {name: tensors(checkpoint / name) for name in folders},
        {name: tensors(export / name) for name in folders})
    print(f"{result.count} figures")
    print(*result.problems[:40], sep="\n")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

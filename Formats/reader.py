#!/usr/bin/env python3
"""A second reader of packed files (.sprint), written from packed.md and schemes.md alone. Clear, not fast.

    reader.py list FILE             one line for each tensor, adapter and attachment
    reader.py verify FILE           check everything
    reader.py decode FILE           what the file holds, as one line of JSON
    reader.py decode FILE TENSOR    the tensor's values as little-endian float32 on standard output

Exit codes: 0 good, 1 the content is damaged, 2 the file cannot be read. Needs the packages zstandard and xxhash.
"""
import hashlib, json, math, pathlib, struct, sys
from array import array
import xxhash, zstandard

assert sys.byteorder == "little" and array("I").itemsize == 4
FRAME = 1 << 20
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
         "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}
DAMAGE = ("frame-checksum", "frame-content", "plane-hash", "plane-values", "padding")  # exit code 1
class Refused(Exception):
    """A failure by its name in packed.md, and what it is about."""
def need(condition, name, subject):
    if not condition:
        raise Refused(name, subject)

# schemes.md: what each scheme says of itself. One that is added to SCHEMES is read.
def float_bits(dtype, data):
    if dtype == "F16":
        return array("I", array("f", struct.unpack(f"<{len(data) // 2}e", data)).tobytes())
    return array("I", data if dtype == "F32" else [code << 16 for code in array("H", data)])
class Floats:
    stated = True  # bad values are NaNs and infinities, as many as the directory states
    def __init__(self, dtype): self.dtype = dtype
    def holds(self, shape): return True
    def planes(self, shape): return [("values", self.dtype, shape)]
    def bad_values(self, index, data): return sum(bits & 0x7F800000 == 0x7F800000 for bits in float_bits(self.dtype, data))
    def decode(self, shape, planes): return float_bits(self.dtype, planes[0])
class Int8Rows:
    stated = False
    def holds(self, shape): return True
    def planes(self, shape): return [("values", "I8", shape), ("scales", "F32", shape[:1] or [1])]
    def bad_values(self, index, data): return data.count(0x80) if index == 0 else sum(not 0 < scale < math.inf for scale in array("f", data))
    def decode(self, shape, planes):
        values, scales = array("b", planes[0]), array("f", planes[1])
        row = len(values) // len(scales)
        return array("f", [scales[i // row] * q for i, q in enumerate(values)])  # rounded once: the product is exact in a double
class Int4Groups:
    stated = False
    def holds(self, shape): return math.prod(shape[1:]) % 32 == 0
    def planes(self, shape):
        rows, width = (shape[:1] or [1])[0], math.prod(shape[1:])
        return [("values", "U8", [rows, width // 2]), ("multipliers", "U8", [rows, (width // 32 + 1) // 2]), ("scales", "F32", [rows])]
    def bad_values(self, index, data):
        return sum(pair & 15 == 0 or pair >> 4 == 0 for pair in data) if index == 1 else Int8Rows().bad_values(1, data) if index == 2 else 0
    def decode(self, shape, planes):
        halves = [[half for pair in plane for half in (pair & 15, pair >> 4)] for plane in planes[:2]]
        scales, width = array("f", planes[2]), math.prod(shape[1:])
        groups = (width // 32 + 1) // 2 * 2
        return array("f", [scales[i // width] * (halves[1][i // width * groups + i % width // 32] * (half - 8)) for i, half in enumerate(halves[0])])
def blocks(width, most):
    """Where the blocks of a row begin, and their sizes: the largest powers of two that are left."""
    at = 0
    while at < width:
        size = min(1 << (width - at).bit_length() - 1, most)
        yield at, size
        at += size
def turn(values, width, most):
    """Blocks times Hadamard matrices. Sums and products of two float32 are exact, or rounded alike, in a double."""
    for start, size in [(row + at, size) for row in range(0, len(values), width) for at, size in blocks(width, most)]:
        block, step = values[start:start + size], 1
        while step < size:
            block = array("f", [block[i ^ step] - v if i & step else v + block[i ^ step] for i, v in enumerate(block)])
            step *= 2
        root = array("f", [1 / math.sqrt(size)])[0]
        values[start:start + size] = array("f", [v * root for v in block])
    return values
class TurnedInt8Rows(Int8Rows):
    def holds(self, shape): return math.prod(shape[1:]) % 32 == 0
    def decode(self, shape, planes): return turn(super().decode(shape, planes), math.prod(shape[1:]), 32)
class Balanced:
    stated = False
    def __init__(self, rows): self.rows, self.holds = rows, rows.holds
    def planes(self, shape): return self.rows.planes(shape) + [("exponents", "I8", [math.prod(shape[1:])])]
    def bad_values(self, index, data):
        return sum(abs(e) > 63 for e in array("b", data)) if index == len(self.rows.planes([1, 32])) else self.rows.bad_values(index, data)
    def decode(self, shape, planes):
        exponents = array("b", planes[-1])
        turned = turn(self.rows.decode(shape, planes[:-1]), len(exponents), 1 << 30)
        return array("f", [v / 2.0 ** exponents[i % len(exponents)] for i, v in enumerate(turned)])
SCHEMES = {"f32": Floats("F32"), "f16": Floats("F16"), "bf16": Floats("BF16"), "int8-per-channel": Int8Rows(), "int8-rotated": TurnedInt8Rows(),
           "int8-balanced": Balanced(Int8Rows()), "int4-grouped": Int4Groups(), "int4-balanced": Balanced(Int4Groups())}
def decode(tensor, planes):
    """The values as little-endian float32."""
    return SCHEMES[tensor["scheme"]].decode(tensor["shape"], planes).tobytes()

# packed.md
def inflate(data, size, name, subject):
    try:
        header = zstandard.get_frame_parameters(data)
        window = size if data[4] & 0x20 else header.window_size
        need(header.content_size == size and window <= FRAME and not header.dict_id, name, subject)
        content = (decoder := zstandard.ZstdDecompressor().decompressobj()).decompress(data)
        need(decoder.eof and not decoder.unused_data and len(content) == size, name, subject)
        return content
    except zstandard.ZstdError:
        raise Refused(name, subject) from None
def good_name(name):
    return 0 < len(name.encode()) <= 512 and not any(ord(c) < 32 or ord(c) == 127 for c in name)
def canonical_text(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

class File:
    def __init__(self, path):
        self.data = data = pathlib.Path(path).read_bytes()
        need(data[:8] == b"\x89SPRINT\n", "not-a-packed-file", "magic")
        need(len(data) >= 128, "file-length", "header")
        major, _, must, _, header, total = struct.unpack_from("<HHIIIQ", data, 8)
        need(major == 1, "unsupported-version", major)
        need(xxhash.xxh3_64_intdigest(data[:120]) == struct.unpack_from("<Q", data, 120)[0], "header-checksum", "header")
        need(must & ~3 == 0, "unknown-flags", hex(must))
        need(header == 128 and data[112:120] == bytes(8), "header-field", "header")
        need(total == len(data), "file-length", total)
        self.sections, self.attachments, end = [], [], 128
        self.directory = self.read_directory(32, must & 1, "directory")
        if data[56:80] != bytes(24):
            self.attachments = self.read_directory(56, must & 2, "attachment directory")["attachments"]
        need(data[56:80] != bytes(24) or not must & 2, "header-field", "attachment directory")
        self.check_directory()
        for offset, size, subject in sorted(self.sections):
            start = (end + 63) // 64 * 64
            need(offset == start and offset + size <= total, "section-placement", subject)
            end, padding = offset + size, data[end:start]
            need(not any(padding), "padding", f"bytes before {start}")
        need(end == total, "section-placement", "end of file")
    def read_directory(self, at, compressed, subject):
        offset, stored, content, checksum = struct.unpack_from("<QIIQ", self.data, at)
        need(content <= 64 << 20, "directory-limit", subject)
        need(stored < content if compressed else stored == content, "header-field", subject)
        need(offset + stored <= len(self.data), "section-placement", subject)
        data = self.data[offset:offset + stored]
        need(xxhash.xxh3_64_intdigest(data) == checksum, "directory-checksum", subject)
        self.sections.append((offset, stored, subject))
        text = inflate(data, content, "directory-compression", subject) if compressed else data
        need(at != 32 or hashlib.sha256(text).digest() == self.data[80:112], "content-hash", subject)
        def unique(pairs):
            need(len(dict(pairs)) == len(pairs), "directory-syntax", subject)
            return dict(pairs)
        try:
            value = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
            need(canonical_text(value).encode() == text, "directory-not-canonical", subject)
        except (ValueError, RecursionError):
            raise Refused("directory-syntax", subject) from None
        return value
    def check_directory(self):
        d = self.directory
        try:
            need(all(type(d[key]) is str for key in ("tool", "zstd", "preset")), "directory-member", "tool, zstd, preset")
            for blob in d["blobs"] + self.attachments:
                need(not {"", ".", ".."} & set(blob["name"].split("/")) and good_name(blob["name"]), "invalid-name", blob["name"])
                self.check_section(blob, 1, blob["name"])
            for tensor in d["tensors"]:
                self.check_tensor(tensor, [component["name"] for component in d["components"]])
            need(len({tensor["name"] for tensor in d["tensors"]}) == len(d["tensors"]) <= 65536, "duplicate-name", "tensors")
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise Refused("directory-member", repr(error))
    def check_tensor(self, tensor, components):
        name, shape, scheme = tensor["name"], tensor["shape"], tensor["scheme"]
        need(good_name(name), "invalid-name", name)
        need(scheme in SCHEMES, "unknown-scheme", f"{name}: {scheme}")
        need(tensor["layout"] in ("same", "channels-last"), "unknown-layout", name)
        need(tensor.get("activations", "float") in ("float", "int8-per-token"), "unknown-activations", name)
        need(len(shape) <= 8 and all(type(n) is int and n > 0 for n in shape) and math.prod(shape) < 1 << 60, "invalid-shape", name)
        need(tensor["component"] in components, "unknown-component", name)
        need(len(tensor["planes"]) <= 16, "count-limit", name)
        need(SCHEMES[scheme].holds(shape), "plane-mismatch", name)
        planes = SCHEMES[scheme].planes(shape)
        need(len(tensor["planes"]) == len(planes), "plane-mismatch", name)
        for plane, (label, dtype, extents) in zip(tensor["planes"], planes):
            need(plane["dtype"] in SIZES, "unknown-dtype", name)
            need((plane["name"], plane["dtype"], plane["shape"]) == (label, dtype, extents), "plane-mismatch", f"{name}, {label}")
            size = self.check_section(plane, SIZES[dtype], f"tensor {name}, plane {label}")
            need(size == math.prod(extents) * SIZES[dtype], "frame-sizes", f"{name}, {label}")
    def check_section(self, section, element, subject):
        codec, offset, end = section["codec"], section["offset"], section["offset"]
        need(codec in ("raw", "zstd", "zstd-split16"), "unknown-codec", subject)
        need(codec != "zstd-split16" or element == 2, "codec-mismatch", subject)
        need(type(offset) is int and offset >= 0 and len(bytes.fromhex(section["sha256"])) == 32, "directory-member", subject)
        for stored, content, checksum in section["frames"]:
            least = content if codec == "raw" else content // 2 + 1 if codec == "zstd-split16" else 1
            need(0 < content <= FRAME and content % element == 0 and least <= stored <= content, "frame-sizes", subject)
            need(len(bytes.fromhex(checksum)) == 8, "directory-member", subject)
            end += stored
        self.sections.append((offset, end - offset, subject))
        return sum(frame[1] for frame in section["frames"])
    def content(self, section, subject):
        position, content = section["offset"], bytearray()
        for index, (stored, size, checksum) in enumerate(section["frames"]):
            data, place = self.data[position:position + stored], f"{subject}, frame {index}"
            need(xxhash.xxh3_64_hexdigest(data) == checksum, "frame-checksum", place)
            position += stored
            if stored < size:  # else the frame is stored as it is, whatever the codec
                low = data[stored - size // 2:] if section["codec"] == "zstd-split16" else b""
                data = inflate(data[:stored - len(low)], size - len(low), "frame-content", place)
                data = bytes(byte for pair in zip(low, data) for byte in pair) if low else data
            content += data
        need(hashlib.sha256(content).hexdigest() == section["sha256"], "plane-hash", subject)
        return bytes(content)
    def planes(self, tensor):
        scheme = SCHEMES[tensor["scheme"]]
        planes = [self.content(plane, f"{tensor['name']}, {plane['name']}") for plane in tensor["planes"]]
        for index, plane in enumerate(planes):
            need(scheme.bad_values(index, plane) == tensor.get("nonfinite", 0) * scheme.stated, "plane-values", tensor["name"])
        return planes
    def describe(self):
        def blob(entry):
            return {"name": entry["name"], "sha256": hashlib.sha256(self.content(entry, entry["name"])).hexdigest()}
        def tensor(entry):
            values = decode(entry, self.planes(entry))
            short = {"float32": values.hex(" ", 4)} if len(values) <= 128 else {}
            return {key: entry[key] for key in ("layout", "name", "scheme", "shape")} | {"sha256": hashlib.sha256(values).hexdigest()} | short
        return {"attachments": list(map(blob, self.attachments)), "blobs": list(map(blob, self.directory["blobs"])),
                "contentHash": self.data[80:112].hex(), "tensors": list(map(tensor, self.directory["tensors"]))}

def main(arguments):
    if len(arguments) not in (2, 3) or arguments[0] not in ("list", "verify", "decode"):
        print(__doc__, file=sys.stderr)
        return 64
    try:
        file = File(arguments[1])
        if arguments[0] == "list":
            for t in file.directory["tensors"]:
                print(t["name"], t["scheme"], t["shape"], *(f"{p['name']}:{p['codec']}" for p in t["planes"]))
            for source in (source for source in file.directory["sources"] if "weight" in source):
                print("adapter", source["path"], source["weight"], source["sha256"])
            print(*(f"attachment {a['name']} {sum(frame[1] for frame in a['frames'])} bytes" for a in file.attachments), sep="\n", end="\n" * bool(file.attachments))
        elif len(arguments) == 3:
            tensor = next((t for t in file.directory["tensors"] if t["name"] == arguments[2]), None)
            need(tensor, "no-such-tensor", arguments[2])
            sys.stdout.buffer.write(decode(tensor, file.planes(tensor)))
        else:
            print(canonical_text(file.describe()) if arguments[0] == "decode" else file.describe() and "good")
        return 0
    except (Refused, OSError) as error:
        print(f"{arguments[1]}: {error}", file=sys.stderr)
        return 1 if error.args[0] in DAMAGE else 2

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The table of measure_quality.py in Markdown, and its picture: decibels over bytes, in SVG that reads in light and dark."""
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 460, 56, 24, 64, 52
STYLE = """text { font: 12px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a } .frame { fill: #ffffff }
.grid { stroke: #d0d7de } .ours { fill: #2f81f7; stroke: #2f81f7 } .peer { fill: #9a6700; stroke: #9a6700 } .hollow { fill: none; stroke-width: 1.6 }
.line { fill: none; stroke: #2f81f7; stroke-width: 1.2 } .fall { stroke-width: 1; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } .frame { fill: #0d1117 } .grid { stroke: #30363d }
.peer { fill: #d29922; stroke: #d29922 } }"""


def worst_planted(row, key="median"):
    planted = [found[key] for name, found in row["velocity"].items() if name.startswith("planted")]
    return min(planted) if planted else None


def table(report):
    others = [name for name in report["checkpoints"] if name != "as it is" and not name.startswith("planted")]
    lines = ["| by | method | transformer | velocity, median (95 %) | worst | median of the worst planted copy | " + " | ".join(others) + " |",
             "|---" * (6 + len(others)) + "|"]
    decibels = lambda value: "" if value is None else f"{value:.1f}"
    for row in report["rows"]:
        found = row["velocity"].get("as it is")
        if found is None:
            continue
        cells = [row["by"], row["method"], f"{row['bytes']['as it is'] / 1e6:.2f} MB", f"{found['median']:.1f} ({found['low']:.1f} to {found['high']:.1f})",
                 decibels(found["worst"]), decibels(worst_planted(row)), *(decibels(row["velocity"].get(name, {}).get("median")) for name in others)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def short(name):
    for words, letters in (("int8 weights and activations", "W8A8"), ("int8 weights", "W8"), ("int4 weights", "W4"), (", groups of 32", "")):
        name = name.replace(words, letters)
    return name


class Labels:
    """Names beside points, moved up or down where they would lie on each other or on another point."""
    LETTER, LINE = 5.7, 13

    def __init__(self, points):
        self.taken = [(x - 4, x + 4, y - 4, y + 4) for x, y in points]

    def text(self, name, x, y, before=False):
        """- Parameter before: to the left of the point; else to the right, where there is room."""
        width = self.LETTER * len(name)
        left = before or x + 8 + width > WIDTH
        start = x - 8 - width if left else x + 8
        for shift in sorted(range(-6, 7), key=abs):
            top = y + shift * self.LINE - 5
            box = (start, start + width, top, top + self.LINE - 2)
            if not any(box[0] < b and a < box[1] and box[2] < d and c < box[3] for a, b, c, d in self.taken):
                break
        self.taken.append(box)
        anchor = ' text-anchor="end"' if left else ""
        return f'<text class="small" x="{x - 8 if left else x + 8:.1f}" y="{box[2] + 9:.1f}"{anchor}>{escape(name)}</text>'


def svg(report):
    rows = [row for row in report["rows"] if "as it is" in row["velocity"]]
    sizes = [row["bytes"]["as it is"] / 1e6 for row in rows]
    low, high = 0.9 * min(sizes), 1.03 * max(sizes)
    ratios = [row["velocity"]["as it is"]["median"] for row in rows] + [worst_planted(row) or 50 for row in rows]
    bottom, top = 5 * (min(ratios) // 5), 5 * (max(ratios) // 5 + 1)
    x = lambda size: LEFT + (size - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    y = lambda ratio: HEIGHT - BOTTOM - (ratio - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Signal to noise of velocities over bytes">',
        f"<style>{STYLE}</style>", f'<rect class="frame" width="{WIDTH}" height="{HEIGHT}"/>',
        '<text x="16" y="22" font-weight="600">What a transformer\'s bytes buy: median signal to noise of its velocities</text>',
        '<text class="small" x="16" y="40">blue: sprintpack; brown: others; filled: the checkpoint as it is; hollow: the worst of its copies with outliers planted</text>',
        f'<text class="small" x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">MB of the transformer in the file</text>',
    ]
    step = 5 if top - bottom <= 60 else 10
    for ratio in range(int(bottom), int(top) + 1, step):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(ratio):.1f}" y2="{y(ratio):.1f}"/>'
                     f'<text class="small" x="{LEFT - 6}" y="{y(ratio) + 4:.1f}" text-anchor="end">{ratio} dB</text>')
    for tick in range(int(low) + 1, int(high) + 1):
        parts.append(f'<text class="small" x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick}</text>')
    points = sorted((size, row["velocity"]["as it is"]["median"]) for size, row in zip(sizes, rows) if row["by"] == "sprintpack")
    parts.append('<polyline class="line" points="' + " ".join(f"{x(size):.1f},{y(ratio):.1f}" for size, ratio in points) + '"/>')
    labels = Labels([(x(size), y(row["velocity"]["as it is"]["median"])) for size, row in zip(sizes, rows)])
    for size, row in zip(sizes, rows):
        own = row["by"] == "sprintpack"
        kind, median, planted = "ours" if own else "peer", row["velocity"]["as it is"]["median"], worst_planted(row)
        name = row["method"] if own else f"{row['by'].split(' ')[0]} {row['method']}"
        title = f"<title>{escape(name)}: {size:.2f} MB, {median:.1f} dB" + ("" if planted is None else f", planted {planted:.1f} dB") + "</title>"
        if planted is not None:
            parts.append(f'<line class="{kind} fall" x1="{x(size):.1f}" x2="{x(size):.1f}" y1="{y(median):.1f}" y2="{y(planted):.1f}"/>'
                         f'<circle class="{kind} hollow" cx="{x(size):.1f}" cy="{y(planted):.1f}" r="4"/>')
        parts.append(f'<circle class="{kind}" cx="{x(size):.1f}" cy="{y(median):.1f}" r="4">{title}</circle>')
        if not own or row["method"] in ("int8", "compact"):
            parts.append(labels.text(short(name), x(size), y(median), before=row["method"] == "int8"))
    return "\n".join([*parts, "</svg>", ""])

"""The table as a picture: one bar for each ratio, against the peer's 1.0, in SVG that reads in light and dark."""
from html import escape

WIDTH, LEFT, RIGHT, LINE, TOP = 760, 250, 170, 30, 54
STYLE = """text { font: 13px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a } .bar { fill: #2f81f7 }
.peer { stroke: #8c959f; stroke-dasharray: 4 3 } .goal { stroke: #cf222e; stroke-width: 2 } .frame { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } .frame { fill: #0d1117 } .peer { stroke: #6e7681 } }"""


def svg(report):
    rows = [row for row in report["rows"] if row["ratio"] is not None and row["unit"] == "s"]
    height = TOP + LINE * len(rows) + 34
    scale = (WIDTH - LEFT - RIGHT) / max([1.05] + [row["ratio"] for row in rows])
    at = lambda value: LEFT + value * scale
    machine = report["machine"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Time of sprintpack as a share of its peers\' time">',
        f"<style>{STYLE}</style>", f'<rect class="frame" width="{WIDTH}" height="{height}"/>',
        '<text x="16" y="24" font-weight="600">Time as a share of the peer\'s: shorter is faster</text>',
        f'<text class="small" x="16" y="42">{escape(machine["cpu"])}, {machine["threads"]} threads; medians of {report["runs"]} runs in turn; red: the goal</text>',
        f'<line class="peer" x1="{at(1):.1f}" x2="{at(1):.1f}" y1="{TOP}" y2="{height - 26}"/>',
        f'<text class="small" x="{at(1):.1f}" y="{height - 10}" text-anchor="middle">the peer</text>',
    ]
    for index, row in enumerate(rows):
        y = TOP + LINE * index
        parts += [
            f'<text x="16" y="{y + 15}">{escape(row["name"])}</text><text class="small" x="16" y="{y + 27}">{escape(row["peer_name"])}</text>',
            f'<rect class="bar" x="{LEFT}" y="{y + 4}" width="{row["ratio"] * scale:.1f}" height="18" rx="2"/>',
            f'<text x="{at(max(row["ratio"], 1)) + 8:.1f}" y="{y + 18}">{row["ratio"]:.2f}x <tspan class="small">{row["ours"]:.2f} s, {row["peer"]:.2f} s</tspan></text>',
        ]
        if row["goal_ratio"] is not None:
            parts.append(f'<line class="goal" x1="{at(row["goal_ratio"]):.1f}" x2="{at(row["goal_ratio"]):.1f}" y1="{y + 2}" y2="{y + 24}"/>')
    return "\n".join([*parts, "</svg>", ""])

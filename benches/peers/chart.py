"""The plot of run.py, as plain SVG: one dot for each tool and list, on a scale of powers of ten."""

from html import escape
from math import ceil, floor, log10

LABELS, PANEL, GAP, TOP, ROW, RIGHT = 190, 330, 40, 84, 44, 30
COLOURS = {"issues": "a", "events": "b"}
# Its own ground, so that it reads on any page; the colours of the reader's system.
STYLE = """
  .ground{fill:#ffffff} text{font:13px -apple-system,BlinkMacSystemFont,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
  .small{font-size:11px;fill:#59636e} .title{font-weight:600} .ours{font-weight:700}
  .grid{stroke:#d1d9e0} .band{fill:#f0f4f8} .a{fill:#0b6bcb;stroke:#0b6bcb} .b{fill:#bc5a00;stroke:#bc5a00}
  text.a,text.b{stroke:none}
  @media (prefers-color-scheme:dark){
    .ground{fill:#0d1117} text{fill:#f0f6fc} .small{fill:#9198a1} .grid{stroke:#3d444d} .band{fill:#161b22}
    .a{fill:#58a6ff;stroke:#58a6ff} .b{fill:#f0883e;stroke:#f0883e}
  }
"""


def short(value):
    """Three digits, which is more than a run is exact to."""
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e3:
        return f"{value / 1e3:.3g} k"
    return f"{value:.3g}"


def power(exponent):
    if exponent < 0:
        return f"{10.0**exponent:g}"
    return short(10**exponent).replace(".00", "")


def panel(left, title, hint, names, results, what, lists):
    values = [results[name][one][what] for name in names for one in lists]
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    place = lambda value: left + (log10(value) - low) / max(high - low, 1) * (PANEL - 60)
    bottom = TOP + ROW * len(names)
    yield f'<text class="title" x="{left}" y="30">{escape(title)}</text>'
    yield f'<text class="small" x="{left}" y="47">{escape(hint)}</text>'
    for exponent in range(low, high + 1):
        x = place(10**exponent)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
        yield f'<text class="small" x="{x:.1f}" y="{TOP - 12}" text-anchor="middle">{power(exponent)}</text>'
    for row, name in enumerate(names):
        for line, one in enumerate(lists):
            value, y = results[name][one][what], TOP + ROW * row + 14 + 17 * line
            x, colour = place(value), COLOURS[one]
            yield f'<line class="{colour}" x1="{left}" x2="{x:.1f}" y1="{y}" y2="{y}" stroke-opacity=".35" stroke-width="3"/>'
            yield f'<circle class="{colour}" cx="{x:.1f}" cy="{y}" r="4.5"/>'
            yield f'<text class="{colour}" font-size="12" x="{x + 9:.1f}" y="{y + 4}">{short(value)}</text>'


def draw(names, results, lists):
    """`results[name][list]` has `records_per_second` and `cpu_seconds_per_million`; the fastest tool comes first."""
    names = sorted(names, key=lambda name: -results[name]["issues"]["records_per_second"])
    width, height = LABELS + 2 * PANEL + GAP + RIGHT, TOP + ROW * len(names) + 44
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
           "<title>headwater beside other tools: records per second, and CPU seconds per million records</title>",
           f"<style>{STYLE}</style>", f'<rect class="ground" width="{width}" height="{height}" rx="6"/>']
    for row, name in enumerate(names):
        top, ours = TOP + ROW * row, "ours" if name == "headwater" else ""
        if ours:
            out.append(f'<rect class="band" x="6" y="{top}" width="{width - 12}" height="{ROW}" rx="4"/>')
        out.append(f'<text class="{ours}" x="{LABELS - 16}" y="{top + 27}" text-anchor="end">{escape(name)}</text>')
    out += panel(LABELS, "records per second", "more is better · powers of ten", names, results, "records_per_second", lists)
    out += panel(LABELS + PANEL + GAP, "CPU seconds per million records", "less is better · powers of ten", names, results,
                 "cpu_seconds_per_million", lists)
    x = LABELS
    for one, about in lists.items():
        out.append(f'<circle class="{COLOURS[one]}" cx="{x + 5}" cy="{height - 20}" r="4.5"/>')
        out.append(f'<text class="small" x="{x + 16}" y="{height - 16}">{escape(f"{one}: {about}")}</text>')
        x += PANEL + GAP
    return "\n".join([*out, "</svg>"]) + "\n"

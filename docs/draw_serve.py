"""Measures the server under load, and draws the README's `docs/serve.svg`."""

from pathlib import Path

from jinja2 import Template

from benchmarks.serve.measure import Row, measure

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "serve.svg"
CALLERS, SECONDS = 64, 10

# Positions in pixels; a share of 1 is as wide as `WIDTH`.
WIDTH, LEFT, LINE, GROUP = 340, 250, 26, 48
SVG = Template(
    """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {{ height }}" role="img">
<title>{{ title }}</title>
<style>
  text { font: 14px system-ui, sans-serif; fill: #1f2328 }
  .heading { font-weight: 600 }
  .note, .figure { fill: #59636e }
  .others { fill: #8c959f }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note, .figure { fill: #9198a1 }
    .others { fill: #656c76 }
    .ours { fill: #4493f8 }
  }
</style>
{% for group in groups %}
<text class="heading" x="0" y="{{ group.y }}">{{ group.heading }}</text>
{% for bar in group.bars %}
<text x="{{ left - 10 }}" y="{{ bar.y }}" text-anchor="end">{{ bar.name }}</text>
<rect class="{{ bar.kind }}" x="{{ left }}" y="{{ bar.y - 14 }}" rx="2"
  width="{{ bar.width }}" height="18"/>
<text class="figure" x="{{ left + bar.width + 8 }}" y="{{ bar.y }}">{{ bar.figure }}</text>
{% endfor %}
{% endfor %}
<text class="note" x="0" y="{{ height - 8 }}">{{ note }}</text>
</svg>
""",
    trim_blocks=True,
)


def draw(rows: list[Row]) -> str:
    """Return a bar chart: one bar per server, for complete answers and for streams."""
    groups, y = [], 20
    for stream, heading in ((False, "Complete answers"), (True, "Streams")):
        bars = [row for row in rows if row.stream == stream]
        groups.append({"heading": heading, "y": y, "bars": [_bar(*one) for one in _down(bars, y)]})
        y += LINE * len(bars) + GROUP
    return SVG.render(
        groups=groups,
        height=y,
        left=LEFT,
        title=f"Answers per second with {CALLERS} callers, relative to a bare pass-through",
        note=f"Answers per second with {CALLERS} callers; one core per server, a model of 0.4 s.",
    )


def _down(rows: list[Row], y: int) -> list[tuple[Row, int]]:
    return [(row, y + LINE * place) for place, row in enumerate(rows, start=1)]


def _bar(row: Row, y: int) -> dict[str, object]:
    return {
        "name": row.server,
        "kind": "ours" if row.server.startswith("serve") else "others",
        "y": y,
        "width": round(WIDTH * row.share, 1),
        "figure": f"{row.load.throughput:.0f} ({row.share:.0%})",
    }


def main() -> None:
    """Measure and draw."""
    PICTURE.write_text(draw(list(measure([CALLERS], SECONDS))), "utf-8")
    print(f"Drew {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""`python -m tests.bench.streams.chart JSON... SVG`: readings a second, and what a million costs."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _BAR, _TOP, _LABELS, _PANEL, _BETWEEN = 960, 22, 40, 270, 220, 90
_OURS, _BESIDE = "#0b6e99", "#8a8f98"
_STYLE = "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600}.s{fill:#57606a;font-size:12px}"
Row = dict[str, float]


def svg(rows: Sequence[Row]) -> str:
    bottom, second = _TOP + _BAR * len(rows), _LABELS + _PANEL + _BETWEEN
    labels = [
        f'<text x="{_LABELS - 8}" y="{_TOP + n * _BAR + 14}" text-anchor="end">{escape(str(row["what"]))}</text>'
        for n, row in enumerate(rows)
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 12}" role="img">',
        f"<title>The stream jobs on a topic full of readings</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{bottom + 12}" fill="#fff"/>',
        *labels,
        *_panel(rows, _LABELS, "readings a second", lambda row: row["per_s"], ",.0f"),
        *_panel(rows, second, "CPU-seconds for a million readings", lambda row: row["cpu_s_per_million"], ".1f"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(rows: Sequence[Row], left: int, title: str, value: Callable[[Row], float], show: str) -> list[str]:
    most, made = max(map(value, rows)), [f'<text class="t" x="{left}" y="24">{escape(title)}</text>']
    for number, row in enumerate(rows):
        length, y = round(_PANEL * value(row) / most, 1), _TOP + number * _BAR
        colour = _BESIDE if "Python" in str(row["what"]) else _OURS
        made.append(f'<rect x="{left}" y="{y}" width="{length}" height="{_BAR - 5}" rx="2" fill="{colour}"/>')
        made.append(f'<text class="s" x="{left + length + 5}" y="{y + 13}">{format(value(row), show)}</text>')
    return made


def main() -> int:
    *sources, target = map(Path, sys.argv[1:])
    target.write_text(svg([row for source in sources for row in json.loads(source.read_text())["reads"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

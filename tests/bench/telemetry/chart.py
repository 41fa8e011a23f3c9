"""`python -m tests.bench.telemetry.chart JSON SVG`: what a gateway takes and costs, beside a bare producer."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _BAR, _GAP, _TOP, _LABELS, _PANEL, _BETWEEN = 960, 17, 9, 56, 240, 250, 90
_BARE, _OURS = "#8a8f98", ("#0b6e99", "#3f9cc4", "#8cc6df")
_STYLE = "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600}.s{fill:#57606a;font-size:12px}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row. `group` begins a new one."""

    label: str
    colour: str
    per_s: float
    cpu_s_per_million: float
    group: bool


def bars(told: dict[str, list[dict[str, float]]]) -> list[Bar]:
    found = [
        Bar(str(one["what"]), _BARE, one["per_s"], one["cpu_s_per_million"], i == 0)
        for i, one in enumerate(told["producer"])
    ]
    for batch in sorted({int(cell["batch"]) for cell in told["load"]}, reverse=True):
        cells = [cell for cell in told["load"] if cell["batch"] == batch]
        found += [
            Bar(
                f"batches of {batch}, {cell['vehicles']:,} vehicles",
                _OURS[i % len(_OURS)],
                cell["per_s"],
                cell["cpu_s_per_million"],
                i == 0,
            )
            for i, cell in enumerate(cells)
        ]
    return found


def panel(rows: Sequence[Bar], left: int, title: str, value: Callable[[Bar], float], show: str) -> list[str]:
    """Bars on a scale of logarithms, from the power of ten below the least."""
    values = [value(row) for row in rows]
    low, high = math.floor(math.log10(min(values))), math.log10(max(values))
    made, y = [f'<text class="t" x="{left}" y="24">{escape(title)}</text>'], _TOP
    for row, size in zip(rows, values, strict=True):
        y += _GAP if row.group else 0
        length = round(_PANEL * (math.log10(size) - low) / (high - low), 1)
        made.append(f'<rect x="{left}" y="{y}" width="{length}" height="{_BAR - 3}" rx="2" fill="{row.colour}"/>')
        made.append(f'<text class="s" x="{left + length + 5}" y="{y + 12}">{format(size, show)}</text>')
        y += _BAR
    return made


def svg(told: dict[str, list[dict[str, float]]]) -> str:
    rows, y = bars(told), _TOP
    labels = []
    for row in rows:
        y += _GAP if row.group else 0
        labels.append(f'<text x="{_LABELS - 8}" y="{y + 12}" text-anchor="end">{escape(row.label)}</text>')
        y += _BAR
    second = _LABELS + _PANEL + _BETWEEN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 14}" role="img">',
        f"<title>Telemetry through one gateway process</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{y + 14}" fill="#fff"/>',
        *(f'<text class="s" x="{left}" y="42">logarithmic</text>' for left in (_LABELS, second)),
        *labels,
        *panel(rows, _LABELS, "readings a second", lambda row: row.per_s, ",.0f"),
        *panel(rows, second, "CPU-seconds for a million readings", lambda row: row.cpu_s_per_million, ".1f"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    source, target = map(Path, sys.argv[1:])
    target.write_text(svg(json.loads(source.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The tables of docs/observability.md, read as the inventory of metrics that they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "observability.md"
_ROW = re.compile(r"^\| `([a-zA-Z_]+)` \| (\w+) \| ([a-z, -]+) \| (.+) \|$", re.MULTILINE)
_SERIES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


@dataclass(frozen=True, slots=True)
class Metric:
    """`jobs`: of the scrape configurations."""

    name: str
    type: str
    jobs: frozenset[str]
    meaning: str

    @property
    def series(self) -> frozenset[str]:
        """Names that a query may ask for."""
        return frozenset(self.name + suffix for suffix in _SERIES[self.type])


def inventory() -> tuple[Metric, ...]:
    """Every row, in the order of the page."""
    return tuple(_rows(PAGE.read_text(encoding="utf-8")))


def _rows(text: str) -> Iterator[Metric]:
    for name, kind, jobs, meaning in _ROW.findall(text):
        yield Metric(name, kind, frozenset(job.strip() for job in jobs.split(",")), meaning)


def anchors() -> frozenset[str]:
    """Of the page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings)

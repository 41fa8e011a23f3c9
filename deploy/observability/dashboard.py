"""python -m deploy.observability.dashboard

Writes grafana/pitwall.json from panels.py; a test compares the two. Grafana takes the file as it is.
"""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

from deploy.observability.panels import ROWS, Panel

FILE: Final = Path(__file__).parent / "grafana" / "pitwall.json"
#: Of Grafana's grid.
_COLUMNS: Final = 24
_STAT_HEIGHT, _GRAPH_WIDTH, _GRAPH_HEIGHT = 4, 8, 7
#: The uid of the data source that deploy/compose provisions.
_SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
_ANY: Final = {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}]}
_PLAIN: Final = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}


def dashboard() -> dict[str, Any]:
    """As Grafana's JSON model has it."""
    return {
        "uid": "pitwall",
        "title": "Pitwall",
        "tags": ["pitwall"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "graphTooltip": 1,
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    numbers, top = count(1), 0
    for row in ROWS:
        yield {
            "id": next(numbers),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": _at(0, top, _COLUMNS, 1),
        }
        top += 1
        left, height = 0, _STAT_HEIGHT if row.panels[0].stat else _GRAPH_HEIGHT
        width = _COLUMNS // len(row.panels) if row.panels[0].stat else _GRAPH_WIDTH
        for panel in row.panels:
            if left + width > _COLUMNS:
                left, top = 0, top + height
            yield _panel(next(numbers), panel, _at(left, top, width, height))
            left += width
        top += height


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    kind = {"type": "stat", "options": {"colorMode": "background"}} if panel.stat else {"type": "timeseries"}
    return kind | {
        "id": number,
        "title": panel.title,
        "description": panel.text,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": _ANY if panel.stat else _PLAIN},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": query, "legendFormat": legend or "__auto"}
            for i, (query, legend) in enumerate(panel.queries)
        ],
    }


def _at(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())

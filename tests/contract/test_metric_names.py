"""Whoever adds an instrument explains it in docs/observability.md; tests/integration hold the page to what is shown."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.metric_tables import ROOT, inventory

PACKAGES = ("pitwall", "command_service", "ingest_gateway", "edge_agent", "fleet_service")
#: What makes an instrument; its name is the first text among the arguments.
MAKERS = frozenset(
    {
        "Tally", "_counter", "create_counter", "create_histogram", "create_observable_counter",
        "create_observable_gauge", "create_up_down_counter", "gauge", "gauges", "seconds_histogram", "tally",
        "total", "totals",
    }
)  # fmt: skip
#: Modules that put something before the names they are given.
PREFIXES = {"ingest_gateway": "pitwall.gateway.", "edge_agent": "pitwall.agent."}


def instruments(package: str) -> Iterator[str]:
    """Names as OpenTelemetry has them."""
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = _name(node)
            if name is not None:
                yield name if name.startswith(("pitwall.", "grpc.")) else PREFIXES[package] + name


def _name(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    texts = (arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
    return next(texts, None) if called in MAKERS else None


@pytest.mark.parametrize("package", PACKAGES)
def test_every_instrument_is_explained(package: str) -> None:
    explained = {metric.name for metric in inventory()}
    made = {name.replace(".", "_") for name in instruments(package)}
    assert made
    units = ("", "_total", "_seconds", "_bytes", "_seconds_total", "_records_total")
    missing = {name for name in made if not explained & {name + unit for unit in units}}
    assert not missing, f"add to the tables of docs/observability.md: {missing}"


def test_a_new_instrument_would_be_found(tmp_path: Path) -> None:
    tree = ast.parse('self._x = Tally(meter, "pitwall.new", "…")\nfoo("pitwall.other")\n')
    assert [name for node in ast.walk(tree) if (name := _name(node))] == ["pitwall.new"]

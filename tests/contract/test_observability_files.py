"""Rules, scrape configurations and the dashboard ask for metrics that exist, and each alert is explained and tested."""

import json
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.local.ports import DEFAULT_PORTS
from deploy.observability import dashboard
from deploy.observability.panels import ROWS
from pitwall.exits import EXIT_MISSING
from tests.support.metric_tables import ROOT, anchors, inventory

FOLDER = ROOT / "deploy" / "observability"
COMPOSE = ROOT / "deploy" / "compose"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
CONFIGS = ("prometheus.yml", "prometheus-local.yml")
PAGES = sorted((ROOT / "docs").glob("*.md"))
ALERT_KEYS = frozenset({"alert", "expr", "labels", "annotations"})
RECORD_KEYS = frozenset({"record", "expr"})
#: Prometheus makes these itself.
ITS_OWN = frozenset({"up", "ALERTS"})
WORDS = frozenset(
    {
        "and", "by", "changes", "count", "deriv", "group_left", "histogram_quantile", "ignoring", "increase", "le",
        "max", "min", "offset", "on", "or", "rate", "sum", "time", "unless", "vector", "without",
    }
)  # fmt: skip


@cache
def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> Iterator[dict[str, Any]]:
    for file in RULES:
        for group in load(file)["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in rules() if "record" in rule}
QUERIES = [query for row in ROWS for panel in row.panels for query, _ in panel.queries]


def asked_for(query: str) -> set[str]:
    """The metrics that a query names."""
    bare = re.sub(r'"[^"]*"|\b\d[\d.]*[a-z]*', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring) *\([^)]*\)", " ", bare)
    return set(re.findall(r"[a-zA-Z_][\w:]*", bare)) - WORDS


KNOWN = {series for metric in inventory() for series in metric.series}


@pytest.mark.parametrize("query", [*(rule["expr"] for rule in rules()), *QUERIES])
def test_every_metric_that_is_asked_for_is_in_the_tables_or_recorded(query: str) -> None:
    names = asked_for(query)
    assert names
    assert names <= KNOWN | RECORDS.keys() | ITS_OWN


def test_a_metric_that_nobody_shows_would_be_found() -> None:
    assert asked_for('sum by (a) (rate(pitwall_none_total{b="c"}[5m])) > 0') == {"pitwall_none_total"}


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_rules_have_the_shape_that_prometheus_takes(file: Path) -> None:
    """What can be known without promtool."""
    content = load(file)
    assert content.keys() == {"groups"}
    for group in content["groups"]:
        assert group.keys() == {"name", "rules"}
        for rule in group["rules"]:
            kind = ALERT_KEYS if "alert" in rule else RECORD_KEYS
            assert set(rule) <= kind | {"for"}
            assert kind <= set(rule)
            assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
            assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_no_page_names_a_metric_that_there_is_not(page: Path) -> None:
    named = set(re.findall(r"`(pitwall_[a-z_]+)", page.read_text(encoding="utf-8")))
    assert named <= KNOWN | {metric.name for metric in inventory()}


def test_what_is_recorded_is_used() -> None:
    used = set().union(*(asked_for(query) for query in [*QUERIES, *(rule["expr"] for rule in ALERTS.values())]))
    assert set(RECORDS) <= used


def test_the_tables_name_each_metric_once_with_a_suffix_that_says_what_it_is() -> None:
    metrics = inventory()
    assert len(metrics) > 60
    assert [name for name, count in Counter(metric.name for metric in metrics).items() if count > 1] == []
    for metric in metrics:
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric
        assert metric.type != "histogram" or metric.name.endswith("_seconds"), metric


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_it_is_how_urgent_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (ROOT / page).is_file()
    assert anchor in anchors()


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_in_which_it_fires_and_a_moment_before_does_not(alert: str) -> None:
    cases = [case for file in TESTS for case in load(file)["tests"] if case["name"].startswith(f"{alert}:")]
    outcomes = [bool(test["exp_samples"]) for case in cases for test in case["promql_expr_test"]]
    assert {True, False} == set(outcomes)


def test_the_dashboard_is_made_from_its_panels_and_asks_the_source_that_compose_provides() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "python -m deploy.observability.dashboard"
    (source,) = load(COMPOSE / "config" / "grafana" / "datasources.yaml")["datasources"]
    made = json.loads(dashboard.text())
    for panel in made["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: list[tuple[int, int]] = []
    for place in (panel["gridPos"] for panel in panels):
        assert place["x"] + place["w"] <= 24
        across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells += [(x, y) for x in across for y in down]
    assert len(set(cells)) == len(cells)


def targets(name: str) -> dict[str, str]:
    """Process -> host:port."""
    jobs = load(FOLDER / name)["scrape_configs"]
    return {each["labels"]["process"]: each["targets"][0] for job in jobs for each in job["static_configs"]}


def test_compose_is_scraped_where_its_processes_listen() -> None:
    scraped = targets("prometheus.yml")
    services = load(COMPOSE / "compose.yaml")["services"]
    for process, address in scraped.items():
        host, _, port = address.partition(":")
        assert host == process
        assert host in services
        settings = COMPOSE / "config" / f"{process}.toml"
        if settings.exists():
            assert tomllib.loads(settings.read_text())["metrics_address"].endswith(f":{port}")
    listening = {file.stem for file in (COMPOSE / "config").glob("*.toml") if "metrics_address" in file.read_text()}
    assert listening <= scraped.keys()


def test_the_local_stack_is_scraped_on_its_usual_ports() -> None:
    expected = {f"{process}-metrics": address for process, address in targets("prometheus-local.yml").items()}
    for name, address in expected.items():
        assert address == f"127.0.0.1:{DEFAULT_PORTS[name]}"


def test_jobs_are_the_same_everywhere() -> None:
    compose, local = ({job["job_name"] for job in load(FOLDER / name)["scrape_configs"]} for name in CONFIGS)
    assert compose == local == set().union(*(metric.jobs for metric in inventory()))


@pytest.fixture(scope="module")
def promtool() -> str:
    """Fetches it where it is a Debian package and missing; elsewhere the rest of this file has to do."""
    found = subprocess.run([FOLDER / "promtool.sh"], capture_output=True, text=True, timeout=110)
    if found.returncode == EXIT_MISSING:
        pytest.skip(found.stderr.strip())
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@pytest.mark.parametrize("config", CONFIGS)
def test_promtool_takes_configuration_and_rules(promtool: str, config: str) -> None:
    checked = subprocess.run([promtool, "check", "config", FOLDER / config], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_fire_when_they_should_and_only_then(promtool: str) -> None:
    tested = subprocess.run([promtool, "test", "rules", *TESTS], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr

"""What watches the system in deploy/compose finds what it watches."""

import json
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.support import compose

SERVICES = compose.services()
OBSERVABILITY = compose.ROOT / "deploy/observability"


def reporter_port(service: compose.Service) -> int | None:
    """Flink's containers are told where to report on their command lines."""
    found = [word.partition("=")[2] for word in service.get("command", ()) if "reporter.prom.port" in str(word)]
    return int(found[0]) if found else None


def metrics_ports() -> dict[str, int]:
    """Every service that has metrics, and where."""
    files = {name: path for name, path in compose.settings_files().items() if name != "topics"}
    ours = {name: int(compose.settings(path)["metrics_address"].rpartition(":")[2]) for name, path in files.items()}
    flink = {name: port for name, service in SERVICES.items() if (port := reporter_port(service))}
    return ours | flink


def test_prometheus_asks_everybody_who_has_metrics_where_he_has_them() -> None:
    parsed: dict[str, Any] = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    groups = [group for job in parsed["scrape_configs"] for group in job["static_configs"]]
    asked = {tuple(target.split(":")) for group in groups for target in group["targets"]}
    assert asked == {(name, str(port)) for name, port in metrics_ports().items()}
    assert all(group["labels"]["process"] == target.split(":")[0] for group in groups for target in group["targets"])


def test_prometheus_is_on_a_network_of_everybody_whom_it_asks() -> None:
    networks = set(SERVICES["prometheus"]["networks"])
    assert all(networks & set(SERVICES[name]["networks"]) for name in metrics_ports())


def test_the_rules_are_mounted_where_prometheus_looks() -> None:
    mounted = compose.mounts(SERVICES["prometheus"])
    rules = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())["rule_files"]
    assert rules == ["rules/*.yml"]
    assert mounted["/etc/prometheus/prometheus.yml"] == "../observability/prometheus.yml"
    assert mounted["/etc/prometheus/rules"] == "../observability/rules"


def test_grafana_finds_prometheus_and_the_dashboards_find_grafanas_name_for_it() -> None:
    folder = compose.FOLDER / "config/grafana"
    (source,) = yaml.safe_load((folder / "datasources.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards.yaml").read_text())["providers"]
    assert compose.mounts(SERVICES["grafana"])[provider["options"]["path"]] == "../observability/grafana"
    dashboards = [json.loads(path.read_text()) for path in (OBSERVABILITY / "grafana").glob("*.json")]
    assert dashboards
    assert {uid for dashboard in dashboards for uid in uids(dashboard)} <= {source["uid"], "${datasource}"}


def uids(value: object) -> set[str]:
    """Of every data source that a dashboard names; Grafana's own, for annotations, is not one of ours."""
    if isinstance(value, list):
        return {uid for item in value for uid in uids(item)}
    if not isinstance(value, dict):
        return set()
    below = {uid for key, item in value.items() if key != "annotations" for uid in uids(item)}
    named = value.get("datasource")
    return below | ({named["uid"]} if isinstance(named, dict) else set())

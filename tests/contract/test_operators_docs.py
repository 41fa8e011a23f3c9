"""What docs/ says to operators is complete: what a screen can say, what can go down. And its figures are ours."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from haul.command.v1 import order_pb2, stop_pb2
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1 import alert_pb2, telemetry_pb2

from command_service.store import Store
from console import cli
from flink_jobs.rules import RULES
from flink_jobs.watched import Limit, Threshold
from pitwall.domain.order import STALE_REASONS
from pitwall.domain.stop_set import MAX_ACTIVE_STOPS, MAX_ACTIVE_ZONES
from tests.support import compose

ROOT = Path(__file__).parents[2]
OPERATORS = (ROOT / "docs/operators.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
STOP_PATH = (ROOT / "docs/stop-path.md").read_text()

SHOWN = {
    "VEHICLE_STATUS_": telemetry_pb2.VehicleStatus,
    "VEHICLE_SUB_STATUS_": telemetry_pb2.VehicleSubStatus,
    "MOTION_HOLD_": telemetry_pb2.MotionHold,
    "CONNECTIVITY_": telemetry_pb2.Connectivity,
    "STOP_STAGE_": stop_pb2.StopStage,
    "RELEASE_STATE_": stop_pb2.ReleaseState,
    "ORDER_RESULT_": order_pb2.OrderResult,
    "DRILL_VERDICT_": order_pb2.DrillVerdict,
    "ALERT_SEVERITY_": alert_pb2.AlertSeverity,
    "ALERT_STATE_": alert_pb2.AlertState,
    "GAP_STATE_": vehicle_pb2.GapState,
}
UNITS = {"kilometres per hour": "km/h", "degrees Celsius": "°C", "percent": "%", "pounds per square inch": "psi"}


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def explained(text: str) -> set[str]:
    """Every word in capitals in the first cell of a row whose other cells are not empty."""
    return {word for first, *rest in rows(text) if all(rest) for word in re.findall(r"[A-Z][A-Z_]+", first)}


@pytest.mark.parametrize(("prefix", "enum"), SHOWN.items())
def test_every_value_that_a_screen_shows_is_explained(prefix: str, enum: EnumTypeWrapper) -> None:
    values = {name.removeprefix(prefix) for name in enum.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
    assert values
    assert values - explained(OPERATORS) == set()


def test_the_limits_of_the_set_are_those_in_force() -> None:
    assert f"A site may have {MAX_ACTIVE_STOPS:,} active stops, {MAX_ACTIVE_ZONES:,} of them for zones" in STOP_PATH


def test_every_reason_for_which_a_vehicle_refuses_an_order_is_explained() -> None:
    paths = ("pitwall/domain/order.py", "edge_agent/orders.py", "edge_agent/drill.py")
    sources = "".join((ROOT / path).read_text() for path in paths)
    reasons = set(re.findall(r'(?:_rejected\(|REJECTED, |EXPIRED, |Final = \()"([A-Z_]+)"', sources))
    assert reasons >= STALE_REASONS | {"NO_PERMIT", "BUSY", "HEARTBEAT_TOO_OLD", "NO_CONSENT", "OTHER_CAUSE"}
    assert reasons - explained(OPERATORS) == set()


def test_every_alert_rule_is_there_with_its_limits_and_severity() -> None:
    table = {row[0]: row for row in rows(OPERATORS)}
    for rule in RULES:
        _, raised, cleared, severity, todo = table[rule.name]
        if isinstance(rule.when, Threshold):
            side = rule.when.side
            assert f"{side.value} {limit(rule.when.raise_at, rule.when.unit)}" in raised, rule.name
            assert f"{side.other.value} {limit(rule.when.clear_at, rule.when.unit)}" in cleared, rule.name
        if rule.hold_s:
            assert f"for {rule.hold_s:g} s" in raised, rule.name
        named = [rule.severity, *([rule.escalated] if rule.escalated else [])]
        assert re.findall(r"[A-Z]{2,}", severity) == [each.removeprefix("ALERT_SEVERITY_") for each in named], rule.name
        if isinstance(rule.when, Threshold) and rule.when.escalate_at is not None:
            assert f"{rule.when.side.value} {limit(rule.when.escalate_at, rule.when.unit)}" in severity, rule.name
        assert raised, rule.name
        assert cleared, rule.name
        assert todo, rule.name


def limit(given: float | Limit, unit: str) -> str:
    """As people write it: where the registry has no more to say than a share, the share."""
    if isinstance(given, Limit):
        return f"{given.factor * 100:g} %" if given.at_most is None else f"{given.at_most:g} {unit}"
    return f"{given:g} {UNITS.get(unit, unit)}"


def test_every_command_that_is_named_exists() -> None:
    known = {command.name for command in cli.app.registered_commands} | {"alerts", "sim"}
    named = set(re.findall(r"`pitwall ([a-z-]+)|^pitwall ([a-z-]+)", OPERATORS, re.MULTILINE))
    commands = {command for pair in named for command in pair if command}
    assert commands >= {"stop", "release", "approve", "order"}
    assert commands <= known


def test_every_service_of_compose_is_in_the_table_of_needs_and_can_be_down() -> None:
    named = {name for row in rows(OPERATIONS) for name in re.findall(r"`([a-z0-9-]+)`", row[0])}
    assert set(compose.services()) - {"first-start", "console"} <= named
    down = OPERATIONS[OPERATIONS.index("## When something is down") :]
    words = ["gateway", "broker", "`postgres`", "`redis`", "`fleet-1`", "task manager", "agent"]
    for word in [*(f"`{name}`" for name in compose.COMMANDS), *words]:
        assert any(word in row[0] for row in rows(down)), word


def test_it_says_of_every_volume_whether_it_may_be_deleted() -> None:
    table = OPERATIONS[OPERATIONS.index("may it be deleted") : OPERATIONS.index("## When something is down")]
    named = {name for row in rows("|" + table) for name in re.findall(r"`([a-z0-9-]+)`", row[0])}
    volumes = set(compose.document()["volumes"]) - {"kafka-2", "kafka-3", "grafana-password"}
    assert volumes - named == set()


def test_the_journal_comes_back_from_a_backup_made_as_it_says_there(tmp_path: Path) -> None:
    """Runs the two programs of that section on a journal, the first beside the process that has it open."""
    copy, back = (text.replace("/var/lib/pitwall/data/command-1", str(tmp_path)) for text in programs())
    journal = tmp_path / "command-1.sqlite"
    store = Store.open(journal, "command-1", first_start=True)
    store.commit([], {"KOMATSU-930E-001": (b"session", 7)}, exported=41)
    subprocess.run([sys.executable, "-c", copy], check=True)
    store.commit([], {}, exported=42)
    store.close()
    for path in tmp_path.glob("command-1.sqlite*"):
        if path.suffix != ".started":
            path.unlink()
    (tmp_path / "copy.sqlite").rename(tmp_path / "restore.sqlite")
    (tmp_path / "restore.sqlite").chmod(0o444)
    subprocess.run([sys.executable, "-c", back], check=True)
    restored = Store.open(journal, "command-1", first_start=False)
    assert restored.exported == 41
    assert list(restored.vehicles()) == [("KOMATSU-930E-001", b"session", 7)]
    restored.close()


def programs() -> list[str]:
    found = re.findall(r"^docker compose .*python.* -c '(.+)'$", OPERATIONS, re.MULTILINE)
    assert len(found) == 2
    return found


@pytest.mark.parametrize("page", ["operators.md", "operations.md"])
def test_the_readme_leads_there(page: str) -> None:
    assert f"(docs/{page})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", ["docs/operators.md", "docs/operations.md", "deploy/compose/README.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)", (ROOT / page).read_text())
    assert all((ROOT / page).parent.joinpath(link).exists() for link in links), links

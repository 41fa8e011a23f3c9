"""`vehicles`, `stats`, `alerts` and `alerts ack`: what the fleet service knows, and plain words where it is away."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from haul.fleet.v1 import fleet_service_pb2 as pb
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1 import telemetry_pb2

from pitwall.ids import is_uuid7
from pitwall.rpc.errors import InvalidArgument, NotFound, PermissionDenied, PitwallError, Unavailable
from tests.unit.console.fake_fleet import CLEARED, CRITICAL, FakeFleet, alert, vehicle
from tests.unit.console.fake_site import NOON, FakeService, Pitwall, motion

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"


def words_of(text: str, name: str) -> str:
    """The line that begins with a name, its columns one blank apart."""
    return next(" ".join(line.split()) for line in text.splitlines() if line.startswith(name))


# Vehicles


def test_what_is_unknown_of_a_vehicle_is_a_dash(pitwall: Pitwall, fleet: FakeFleet) -> None:
    never_seen = vehicle_pb2.Vehicle(vehicle_id=B, model="980E-5")
    fleet.vehicles = [vehicle(A, ages_s={"speed_kph": 0.4}, speed_kph=0.0, alerts=2), never_seen]
    said = pitwall("vehicles").out
    assert words_of(said, A) == f"{A} 930E-5 HAULING CRUISING NONE CONNECTED 0.0 – – – 0.4 s 2"
    assert words_of(said, B) == f"{B} 980E-5 – – – – – – – – –"
    first, second = pitwall("vehicles", "--output", "json").lines
    assert (first["currentReading"]["speedKph"], "payloadTons" in first["currentReading"]) == (0.0, False)
    assert "currentReading" not in second


def test_an_old_value_says_so_and_how_old_it_is(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.vehicles = [vehicle(A, ages_s={"speed_kph": 0.4, "payload_tons": 40.0}), vehicle(B, ages_s=40.0)]
    said = pitwall("vehicles").out
    assert "287.4 (40 s old)" in words_of(said, A)
    assert words_of(said, B).endswith("31.5 287.4 88.6 64.0 40 s OLD")


def test_vehicles_are_chosen_by_status_link_and_hold(pitwall: Pitwall, fleet: FakeFleet) -> None:
    chosen = ("--status", "idle", "--status", "EMERGENCY-STOP", "--connectivity", "lost", "--hold", "MOTION_HOLD_BOOT")
    assert pitwall("vehicles", *chosen).out == "no such vehicle\n"
    [request] = fleet.asked
    assert request.filter == "status = IDLE OR status = EMERGENCY_STOP AND connectivity = LOST AND motion_hold = BOOT"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--status", "FLYING"), ("--status FLYING", "HAULING, DUMPING")),
        (("--status", "UNSPECIFIED"), ("--status UNSPECIFIED",)),
        (("--connectivity", "MAYBE"), ("--connectivity MAYBE", "CONNECTED, LOST")),
        (("--hold", "IDLE"), ("--hold IDLE", "NONE, BOOT, LINK_LOST, STOPPED")),
        (("--limit", "0"), ("--limit",)),
    ],
)
def test_a_choice_that_there_is_not_is_wrong_usage_before_anybody_is_asked(
    pitwall: Pitwall, fleet: FakeFleet, arguments: tuple[str, ...], names: tuple[str, ...]
) -> None:
    ran = pitwall("vehicles", *arguments)
    assert (ran.code, fleet.asked) == (2, [])
    assert all(name in ran.err for name in names), ran.err


def test_all_pages_are_listed_or_as_many_as_are_wanted(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.page_size, fleet.vehicles = 2, [vehicle(f"KOMATSU-930E-{number:03d}") for number in range(7)]
    assert len(pitwall("vehicles", "--output", "json").lines) == 7
    *three, token = pitwall("vehicles", "--limit", "3", "--output", "json").lines
    assert [one["vehicleId"] for one in three] == [f"KOMATSU-930E-{number:03d}" for number in range(3)]
    rest = pitwall("vehicles", "--page-token", token["nextPageToken"], "--output", "json").lines
    assert [one["vehicleId"] for one in rest] == [f"KOMATSU-930E-{number:03d}" for number in range(3, 7)]
    assert "there are more: --page-token 3" in pitwall("vehicles", "--limit", "3").out


def test_what_may_be_old_is_said(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.vehicles, fleet.stale = [vehicle(A)], True
    ran = pitwall("vehicles")
    assert ran.code == 0
    assert "what is shown may be old" in ran.err
    assert "pitwall doctor" in ran.err
    assert pitwall("vehicles", "--output", "json").lines[0]["stale"] is True


def test_no_vehicle_is_said(pitwall: Pitwall, fleet: FakeFleet) -> None:
    assert pitwall("vehicles").out == "no vehicle has ever connected; `make up` starts some\n"
    assert pitwall("vehicles", "--output", "json").out == ""


# Statistics


def test_statistics_say_when_they_were_counted(pitwall: Pitwall, fleet: FakeFleet) -> None:
    counted = Timestamp()
    counted.FromDatetime(datetime.now(UTC))
    fleet.statistics = vehicle_pb2.FleetStatistics(
        total=12,
        active=9,
        idle=2,
        connected=11,
        open_alerts=1,
        by_status={"HAULING": 9, "IDLE": 2, "UNSPECIFIED": 1},
        computed_time=counted,
    )
    ran = pitwall("stats")
    assert ran.code == 0
    for name, number in {
        "vehicles": 12,
        "connected": 11,
        "active": 9,
        "idle": 2,
        "  HAULING": 9,
        "  unknown": 1,
    }.items():
        assert words_of(ran.out, name).split()[1] == str(number)
    assert ran.out.index("HAULING  ") < ran.out.index("  IDLE")
    assert re.search(r"counted \d+(\.\d)? s ago", ran.out)
    assert "may be wrong" not in ran.out
    fleet.statistics.stale = True
    assert "may be wrong: the fleet service is cut off" in pitwall("stats").out
    [as_json] = pitwall("stats", "--output", "json").lines
    assert (as_json["total"], as_json["byStatus"]["HAULING"], as_json["stale"]) == (12, 9, True)


# Alerts


def test_open_alerts_are_listed(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.alerts = [alert(A, "OVERHEATING", CRITICAL, acknowledged_by="olga", acknowledgement_note="seen to")]
    said = words_of(pitwall("alerts").out, A)
    assert fleet.asked[0].filter == "open = true"
    assert said.startswith(f"{A}.OVERHEATING.1.7 CRITICAL ")
    assert said.endswith(f"so far {A}: OVERHEATING is as it is olga seen to")
    [as_json] = pitwall("alerts", "--output", "json").lines
    assert (as_json["alert"]["severity"], as_json["acknowledgedBy"]) == ("ALERT_SEVERITY_CRITICAL", "olga")


def test_no_alert_is_said(pitwall: Pitwall, fleet: FakeFleet) -> None:
    assert pitwall("alerts").out == "no open alert\n"
    assert pitwall("alerts", "--all").out == "no alert\n"


def test_of_all_alerts_the_newest_are_listed_unless_more_are_wanted(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.alerts = [alert(A, f"RULE_{number}", state=CLEARED) for number in range(150)]
    said = pitwall("alerts", "--all").out
    assert fleet.asked[0].filter == ""
    assert "there are older ones: --limit with more than 100 shows them" in said
    assert "min" in words_of(said, f"{A}.RULE_0") or "90 s" in words_of(said, f"{A}.RULE_0")
    assert len(pitwall("alerts", "--all", "--limit", "150", "--output", "json").lines) == 150


def test_what_has_been_is_not_said_to_go_on(pitwall: Pitwall, fleet: FakeFleet) -> None:
    record = alert(A, "LOW_FUEL")
    record.alert.backfilled = True
    fleet.alerts = [record]
    assert "so far" not in pitwall("alerts", "--all").out
    assert " – KOMATSU" in words_of(pitwall("alerts", "--all").out, A)
    assert "It tells what has been and is not open." in pitwall("alerts", "ack", record.alert.alert_id).out


def test_alerts_of_some_vehicles(pitwall: Pitwall, fleet: FakeFleet) -> None:
    pitwall("alerts", "--vehicle", A, "--vehicle", B)
    assert fleet.asked[0].filter == f'vehicle_id = "{A}" OR vehicle_id = "{B}" AND open = true'
    refused = pitwall("alerts", "--vehicle", 'truck" OR state = CLEARED')
    assert refused.code == 2
    assert "--vehicle" in refused.err
    assert A in refused.err, "an example"


def test_an_alert_is_acknowledged_in_the_name_of_whoever_the_token_is(
    pitwall: Pitwall, fleet: FakeFleet, home: Path
) -> None:
    fleet.alerts = [alert(A)]
    token = home / "tokens" / "supervisor"
    ran = pitwall("alerts", "ack", f"{A}.HIGH_SPEED.1.7", "--note", "driver told", "--token-file", str(token))
    assert ran.code == 0, ran.err
    assert f"{A}.HIGH_SPEED.1.7: seen by olga at " in ran.out
    [request] = fleet.asked
    assert (request.note, is_uuid7(request.request_id)) == ("driver told", True)
    assert fleet.metadata[0]["authorization"] == f"Bearer {token.read_text()}"
    as_json = pitwall("alerts", "ack", f"{A}.HIGH_SPEED.1.7", "--output", "json").lines
    assert as_json[0]["acknowledgedBy"] == "olga"


def test_options_that_would_be_lost_before_ack_are_refused(pitwall: Pitwall, fleet: FakeFleet, home: Path) -> None:
    ran = pitwall("alerts", "--token-file", str(home / "tokens" / "supervisor"), "ack", "1")
    assert (ran.code, fleet.asked) == (2, [])
    assert "--token-file stands before ack" in ran.err


def test_watched_alerts_are_a_line_each_step(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.alerts = [alert(A)]
    fleet.steps.put(pb.WatchAlertsResponse(alerts=[alert(A, state=CLEARED)]))
    opened, cleared = pitwall("alerts", "--watch", "--for", "3", "--vehicle", A).out.splitlines()
    assert f"{A} WARNING HIGH_SPEED RAISED: HIGH_SPEED is as it is" in opened
    assert "HIGH_SPEED CLEARED" in cleared
    assert fleet.asked[0].filter == f'vehicle_id = "{A}"'
    assert "alert" in pitwall("alerts", "--watch", "--for", "3", "--output", "json").lines[0]


def test_a_watch_of_alerts_that_cannot_begin_is_an_error(pitwall: Pitwall, home: Path, fleet: FakeFleet) -> None:
    fleet.fails = PermissionDenied("ROLE_MISSING", "reading takes a role")
    ran = pitwall("alerts", "--watch", "--for", "20")
    assert ran.code == 1
    assert "ROLE_MISSING" in ran.err


# What goes wrong


@pytest.mark.parametrize("command", [("vehicles",), ("stats",), ("alerts",), ("alerts", "ack", "1")])
def test_without_a_fleet_service_it_is_said_what_still_works(
    pitwall: Pitwall, service: FakeService, command: tuple[str, ...]
) -> None:
    ran = pitwall(*command, "--output", "json")
    assert ran.code == 1
    assert (ran.error["reason"], ran.error["code"]) == ("NO_FLEET_SERVICE", "UNAVAILABLE")
    assert "nothing listens on localhost:1" in ran.error["message"]
    assert "stops and releases go on without it; `pitwall motion`" in ran.error["fix"]
    assert service.asked == []


def test_without_a_fleet_service_stops_orders_and_motion_go_on(pitwall: Pitwall, service: FakeService) -> None:
    service.motion_states = [motion(A)]
    for command in (("stops",), ("motion",), ("releases",)):
        assert pitwall(*command).code == 0


@pytest.mark.parametrize(
    ("error", "code", "names"),
    [
        (Unavailable("DATABASE_UNAVAILABLE", "PostgreSQL is away"), 1, ("PostgreSQL is away", "pitwall doctor")),
        (NotFound("ALERT_NOT_FOUND", "no alert '1'; see ListAlerts"), 1, ("no alert '1'",)),
        (InvalidArgument("INVALID_PAGE", "page_token: is none"), 2, ("page_token",)),
        (PermissionDenied("ROLE_MISSING", "takes an operator"), 1, ("takes an operator", "--token-file")),
    ],
)
def test_an_answer_is_shown_with_its_reason(
    pitwall: Pitwall, fleet: FakeFleet, error: PitwallError, code: int, names: tuple[str, ...]
) -> None:
    fleet.fails = error
    ran = pitwall("alerts", "ack", "1")
    assert ran.code == code
    assert all(name in ran.err for name in (*names, error.reason)), ran.err


def test_an_address_that_is_none_is_wrong_usage(pitwall: Pitwall, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = pitwall("vehicles", "--server", "localhost")
    assert ran.code == 2
    assert "'localhost': not HOST:PORT" in ran.err


def test_no_command_of_the_stop_path_loads_anything_of_the_fleet_service() -> None:
    """So that no fault in it can reach them."""
    program = (
        "import sys; import console.cli, console.stop, console.stops, console.releases, console.orders, console.motion;"
        "print([name for name in sys.modules if name.startswith('haul.fleet') or 'fleet' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_lost_is_said_with_since_when(pitwall: Pitwall, fleet: FakeFleet) -> None:
    lost = vehicle(A, connectivity=telemetry_pb2.CONNECTIVITY_LOST, connectivity_time=NOON)
    fleet.vehicles = [lost]
    assert "LOST for " in pitwall("vehicles").out

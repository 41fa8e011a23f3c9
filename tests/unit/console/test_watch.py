"""`pitwall watch` tells each change once, says what is away, and goes on with the rest."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from haul.command.v1 import stop_pb2
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.telemetry.v1 import telemetry_pb2

from pitwall.rpc.errors import NotFound, ResourceExhausted, Unavailable
from tests.unit.console.fake_fleet import CLEARED, FakeFleet, ServedFleet, alert, serve_fleet, vehicle
from tests.unit.console.fake_site import FakeService, Pitwall, Served, motion, summary

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"
LOST = telemetry_pb2.CONNECTIVITY_LOST
SOON = ("--every", "0.2", "--for", "1.5")
WITHIN_S = 30.0


def stop_of_all(stop_id: str = "s-1", standstill: int = 0) -> stop_pb2.StopState:
    return stop_pb2.StopState(
        stop=stop_pb2.Stop(stop_id=stop_id, scope=stop_pb2.Scope(fleet=stop_pb2.WholeFleet())),
        summary=summary(in_scope=2, standstill=standstill, pending=2 - standstill),
        active=True,
    )


@pytest.fixture
def everything(service: FakeService, fleet: FakeFleet) -> None:
    """Two vehicles, one of them lost and with an alert, and a stop of all."""
    service.stops = [stop_of_all(standstill=1)]
    fleet.vehicles = [vehicle(A, ages_s=0.0), vehicle(B, connectivity=LOST)]
    fleet.alerts = [alert(B)]


@pytest.mark.usefixtures("everything")
def test_json_is_a_line_for_each_change(pitwall: Pitwall, service: FakeService) -> None:
    # Over long before what it knows is old, when the command service would be asked for motion.
    ran = pitwall("watch", "--every", "0.2", "--for", "0.5", "--output", "json")
    assert ran.code == 0
    assert sorted(next(iter(line)) for line in ran.lines) == ["alert", "stopState", "vehicle", "vehicle"]
    [stop] = [line["stopState"] for line in ran.lines if "stopState" in line]
    assert stop["summary"]["standstill"] == 1
    assert not any(type(request).__name__ == "ListMotionStatesRequest" for request in service.asked)


@pytest.mark.usefixtures("everything")
def test_without_a_terminal_it_is_plain_lines(pitwall: Pitwall) -> None:
    said = pitwall("watch", *SOON).out
    assert len(said.splitlines()) == 4
    assert f"{A} HAULING/CRUISING, hold NONE, CONNECTED, 31.5 km/h" in said
    assert f"{B} HAULING/CRUISING, hold NONE, LOST" in said
    assert f"{B} WARNING HIGH_SPEED RAISED: HIGH_SPEED is as it is" in said
    assert "stop s-1 of the whole fleet: stands 1 of 2, 1 pending" in said


def test_a_reading_that_only_brings_values_is_no_line(pitwall: Pitwall, service: FakeService, fleet: FakeFleet) -> None:
    fleet.vehicles = [vehicle(A)]
    for speed_kph in (32.0, 33.0):
        fleet.changes.put(fleet_pb2.WatchFleetResponse(vehicles=[vehicle(A, speed_kph=speed_kph)]))
    stopped = vehicle(A, motion_hold=telemetry_pb2.MOTION_HOLD_STOPPED, speed_kph=0.0)
    fleet.changes.put(fleet_pb2.WatchFleetResponse(vehicles=[stopped]))
    fleet.changes.put(fleet_pb2.WatchFleetResponse(removed_vehicle_ids=[A]))
    first, second, third = pitwall("watch", "--for", "3").out.splitlines()
    assert "hold NONE" in first
    assert "hold STOPPED, CONNECTED, 0.0 km/h" in second
    assert f"{A} is out of the registry" in third


def test_trouble_later_is_told_and_waited_out(pitwall: Pitwall, service: FakeService, fleet: FakeFleet) -> None:
    looks = iter([None, NotFound("GONE", "gone for a moment")])
    service.before = lambda: next(looks, None)
    said = pitwall("watch", "--every", "0.2", "--for", "4").out
    assert "the stops of the command service: pitwall: gone for a moment [GONE]" in said
    assert "the stops of the command service are there again" in said


def test_a_command_service_alone_is_enough(pitwall: Pitwall, service: FakeService) -> None:
    """Nobody listens where the fleet service should be."""
    service.motion_states, service.stops = [motion(A), motion(B, connectivity=LOST)], [stop_of_all()]
    ran = pitwall("watch", "--every", "0.2", "--for", "4", "--output", "json")
    assert ran.code == 0
    assert {"VEHICLES", "ALERTS"} == {line["feed"]["name"] for line in ran.lines if "feed" in line}
    assert "localhost:1" in next(line["feed"]["trouble"] for line in reversed(ran.lines) if "feed" in line)
    assert [line["motionState"]["vehicleId"] for line in ran.lines if "motionState" in line] == [A, B]
    assert sum("stopState" in line for line in ran.lines) == 1


def test_a_fleet_service_alone_is_enough(
    pitwall: Pitwall, home: Path, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITWALL_SERVER", "localhost:1")
    fleet.vehicles = [vehicle(A)]
    ran = pitwall("watch", *SOON)
    assert ran.code == 0
    assert f"{A} HAULING" in ran.out
    assert "the stops of the command service: pitwall: no command service answered" in ran.out


def test_nobody_there_is_an_error(pitwall: Pitwall, service: FakeService) -> None:
    service.fails = NotFound("GONE", "gone")
    assert pitwall("watch", *SOON).code == 1
    assert pitwall("watch", "--once").code == 1


@contextmanager
def watching(*arguments: str) -> Iterator[IO[str]]:
    """What a watch prints, as it does."""
    command = [sys.executable, "-m", "console", "watch", "--every", "0.2", "--output", "json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        process.communicate()


def until(lines: IO[str], key: str, holds: object = None) -> dict[str, object]:
    """The value of the first line with this key, and with this text in it."""
    for line in lines:
        told = json.loads(line)
        if key in told and (holds is None or str(holds) in line):
            value: dict[str, object] = told[key]
            return value
    raise AssertionError(f"ended without {key} {holds}")


def test_a_fleet_service_that_dies_is_said_and_found_again(
    served: Served, served_fleet: ServedFleet, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    served.service.motion_states, served_fleet.service.vehicles = [motion(A)], [vehicle(A)]
    with watching() as lines:
        until(lines, "vehicle")
        served_fleet.stop()
        assert until(lines, "feed", "VEHICLES")["live"] is False
        assert until(lines, "motionState")["vehicleId"] == A
        again = serve_fleet(FakeFleet(vehicles=[vehicle(B)]), home / "certs", served_fleet.address)
        assert until(lines, "vehicle")["vehicleId"] == B
        assert until(lines, "feed", "VEHICLES")["live"] is True
        again.stop()
    assert capfd.readouterr().err == "", "gRPC's own words don't run across the picture"


@pytest.mark.parametrize(
    "error",
    [Unavailable("NOT_READY", "the registry has not been read"), ResourceExhausted("TOO_MANY_WATCHERS", "full")],
)
def test_a_refusal_is_said_in_the_servers_words_and_tried_again(
    served: Served, served_fleet: ServedFleet, error: Exception
) -> None:
    served_fleet.service.fails = error  # type: ignore[assignment]
    with watching() as lines:
        assert str(error) in str(until(lines, "feed", "VEHICLES")["trouble"])
        served_fleet.service.vehicles, served_fleet.service.fails = [vehicle(A)], None
        assert until(lines, "vehicle")["vehicleId"] == A


def test_an_alert_that_clears_is_told(served: Served, served_fleet: ServedFleet) -> None:
    with watching() as lines:
        served_fleet.service.steps.put(fleet_pb2.WatchAlertsResponse(alerts=[alert(A)]))
        assert "clearedTime" not in until(lines, "alert")
        served_fleet.service.steps.put(fleet_pb2.WatchAlertsResponse(alerts=[alert(A, state=CLEARED)]))
        assert "clearedTime" in until(lines, "alert")


# One picture


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("columns", [80, 120])
def test_once_is_one_picture(pitwall: Pitwall, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "30")
    ran = pitwall("watch", "--once")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= columns
    assert "2 vehicles, 1 LOST: 2 HAULING" in ran.out
    assert "need a look (!): 1, active stops: 1, open alerts: 1\n" in ran.out
    assert ran.out.index(B) < ran.out.index(A)


def test_once_without_a_fleet_service_is_partly_done(pitwall: Pitwall, service: FakeService) -> None:
    service.motion_states, service.stops = [motion(A, speed_kph=12.0)], [stop_of_all()]
    ran = pitwall("watch", "--once")
    assert ran.code == 3
    assert "FLEET SERVICE AWAY" in ran.out
    assert "STOP s-1" in ran.out
    assert f"{A}" in ran.out


@pytest.mark.usefixtures("everything")
def test_a_picture_can_be_kept(pitwall: Pitwall, tmp_path: Path) -> None:
    path = tmp_path / "fleet.svg"
    assert pitwall("watch", "--once", "--svg", str(path)).code == 0
    said = path.read_text()
    assert said.startswith("<svg")
    assert "KOMATSU-930E-001" in said
    assert "http" not in said.replace("http://www.w3.org/2000/svg", ""), "nothing is loaded from elsewhere"


@pytest.mark.usefixtures("everything")
def test_a_picture_that_cannot_be_kept_names_the_file(pitwall: Pitwall, tmp_path: Path) -> None:
    ran = pitwall("watch", "--once", "--svg", str(tmp_path / "nowhere" / "fleet.svg"))
    assert ran.code == 1
    assert "nowhere/fleet.svg: No such file" in ran.err
    assert pitwall("watch", "--svg", "fleet.svg").code == 2


# On a terminal


@pytest.mark.usefixtures("ctrl_c")
def test_on_a_terminal_it_is_a_table_that_ctrl_c_ends(served: Served, served_fleet: ServedFleet) -> None:
    served_fleet.service.vehicles = [vehicle(A), vehicle(B, connectivity=LOST)]
    screen, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "30"}
    command = [sys.executable, "-m", "console", "watch", "--every", "0.2"]
    child = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown = read_until(screen, rb"LOST \d+(\.\d)? s")
    child.send_signal(signal.SIGINT)
    assert child.wait(WITHIN_S) == 0
    os.close(screen)
    assert b"2 vehicles, 1 LOST: 2 HAULING" in shown
    assert b"active stops: 0, open alerts: 0. Ctrl-C ends." in shown
    assert shown.index(B.encode()) < shown.index(A.encode())


def read_until(screen: int, wanted: bytes) -> bytes:
    shown, end_s = b"", time.monotonic() + WITHIN_S
    while not (re.search(wanted, shown) and A.encode() in shown):
        assert time.monotonic() < end_s, shown
        shown += os.read(screen, 65_536)
    return shown


def test_a_reader_that_goes_away_is_no_traceback(served: Served) -> None:
    served.service.motion_states = [motion(f"KOMATSU-930E-{number:03d}") for number in range(1, 900)]
    command = f"{sys.executable} -m console motion --output json | head -1"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(ran.stdout)["vehicleId"] == A
    assert ran.stderr == ""

"""The console against real services: what it says is what the vehicles' own files say, also while services fail."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.options import Server
from tests.integration.console_rig import WITHIN_S, await_driving, await_status, pitwall, set_free, until
from tests.integration.fleet_messages import CLEARED, RAISED, alert
from tests.integration.fleet_rig import Site
from tests.integration.stacks import RunningStack, running
from tests.support.operator import Operator
from tests.support.plant import Plant

# The first test waits for the stack too, whose own error says more than a timeout.
pytestmark = pytest.mark.timeout(300)

FIRST, SECOND, THIRD = "KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003"
#: Enough that one of them drives soon.
VEHICLES = 9


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    servers = frozenset({Server.KAFKA, Server.POSTGRES, Server.REDIS})
    with running("console", vehicles=VEHICLES, gateways=1, time_scale=4.0, servers=servers) as stack:
        yield stack


@pytest.fixture
def operator(stack: RunningStack) -> Iterator[Operator]:
    """Whatever a test stops is released and on its way again afterwards."""
    operator = Operator(stack.home)
    yield operator
    set_free(operator)


@pytest.fixture
def plant(stack: RunningStack) -> Plant:
    return Plant(stack.places.plant)


def test_standstill_is_said_after_the_vehicle_says_so(stack: RunningStack, operator: Operator, plant: Plant) -> None:
    driving = await_driving(plant)
    with pitwall(stack, "stop", driving, "--output", "json") as stopping:
        issued_t = float(until(stopping.stdout, "issuedMonotonic")[0]["issuedMonotonic"])
        until(stopping.stdout, "STOP_STAGE_STANDSTILL")
        told_t = time.monotonic()
    stood = plant.wait(driving, "it stands", lambda line: line.speed_kph == 0, since_t=issued_t)
    assert stood.t <= told_t


def test_a_stop_outlives_the_command_service_that_took_it(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    driving = await_driving(plant)
    with pitwall(stack, "stop", driving, "--output", "json") as stopping:
        stop_id = until(stopping.stdout, "STOP_STAGE_RECEIVED")[0]["stopId"]
        stack.kill("command-1")
        summary = until(stopping.stdout, "summary")[-1]["summary"]
        assert stopping.wait(10) == 0
    assert (summary["stopId"], summary["inScope"], summary["standstill"]) == (stop_id, 1, 1)
    stack.await_healthy("command-1")


def test_a_vehicle_that_cannot_be_heard_is_unreachable_with_its_bound(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    driving = await_driving(plant)
    stack.hang("agents")
    try:
        lines = operator.do("stop", driving, "--wait", "5", exit_code=3)
    finally:
        stack.wake("agents")
    summary = lines[-1]["summary"]
    assert (summary["inScope"], summary["standstill"]) == (1, 0)
    assert summary["pending"] + summary["unreachable"] == 1
    assert summary["brakesBy"]
    await_status(operator, summary["stopId"], 0)


def test_ctrl_c_ends_the_watching_and_not_the_stop(stack: RunningStack, operator: Operator, plant: Plant) -> None:
    driving = await_driving(plant)
    with pitwall(stack, "stop", driving) as stopping:
        assert stopping.stdout is not None
        while "taken by" not in stopping.stdout.readline():
            pass
        stopping.send_signal(signal.SIGINT)
        assert stopping.wait(10) in (0, 3)  # 0 where it stood already
    [stop] = operator.do("stops")
    await_status(operator, stop["stop"]["stopId"], 0)


def test_a_zone_stops_whoever_is_in_it(stack: RunningStack, operator: Operator, plant: Plant, tmp_path: Path) -> None:
    driving = await_driving(plant)
    here = operator.motion_state(driving)["location"]
    latitude, longitude = here["latitudeDegrees"], here["longitudeDegrees"]
    corners = [
        {"lat": latitude + north, "lon": longitude + east}
        for north, east in ((-0.05, -0.05), (-0.05, 0.05), (0.05, 0.05), (0.05, -0.05))
    ]
    path = tmp_path / "around.json"
    path.write_text(json.dumps(corners))
    told = operator.ask("stop", "--zone", str(path), "--wait", "10")
    assert driving in {line["vehicleId"] for line in told.lines if line.get("stage") == "STOP_STAGE_STANDSTILL"}
    assert plant.last(driving).speed_kph == 0


def test_the_stop_button_on_board_is_a_stop_that_only_the_vehicle_ends(operator: Operator, plant: Plant) -> None:
    driving = await_driving(plant)
    operator.do("sim", "button", driving)
    try:
        plant.wait(driving, "it stands", lambda line: line.speed_kph == 0, since_t=time.monotonic())
        own = await_own_stop(operator, driving)
        refused = operator.ask("release", own, "--reason", "clear")
        assert refused.exit_code == 1
        assert "STOP_IS_VEHICLES_OWN" in refused.stderr
        assert operator.do("release", "--all", "--yes", "--reason", "clear") == []
    finally:
        operator.do("sim", "button", driving, "--let-go")
    end_s = time.monotonic() + WITHIN_S
    while own in {stop["stop"]["stopId"] for stop in operator.do("stops")}:
        assert time.monotonic() < end_s


def await_own_stop(operator: Operator, vehicle_id: str) -> str:
    end_s = time.monotonic() + WITHIN_S
    while True:
        own = [stop for stop in operator.do("stops") if stop["stop"].get("issuingVehicleId") == vehicle_id]
        if own:
            return str(own[0]["stop"]["stopId"])
        assert time.monotonic() < end_s


def test_a_fault_by_hand_shows_in_the_plant(operator: Operator) -> None:
    told = operator.do("sim", "fault", SECOND, "overheating", "--seconds", "30")
    assert "overheating" in told[0]["active_faults"]
    assert "overheating" not in operator.do("sim", "fault", SECOND, "overheating", "--end")[0]["active_faults"]


def test_watch_tells_of_a_stop_as_it_goes_on(stack: RunningStack, operator: Operator, plant: Plant) -> None:
    driving = await_driving(plant)
    with pitwall(stack, "watch", "--output", "json", "--every", "0.2") as watching:
        until(watching.stdout, THIRD)
        stop_id = operator.do("stop", driving)[-1]["summary"]["stopId"]
        told = until(watching.stdout, stop_id)
        told += until(watching.stdout, '"VEHICLE_STATUS_EMERGENCY_STOP"') if not is_stopped(told, driving) else []
        operator.release(stop_id)
        until(watching.stdout, '"active": false')
    assert is_stopped(told, driving)


def is_stopped(told: list[dict[str, Any]], vehicle_id: str) -> bool:
    states = [line["vehicle"] for line in told if "vehicle" in line]
    return any(
        state["vehicleId"] == vehicle_id and state["status"] == "VEHICLE_STATUS_EMERGENCY_STOP" for state in states
    )


def test_the_doctor_finds_the_site_well_and_then_what_hangs(stack: RunningStack, operator: Operator) -> None:
    well = operator.ask("doctor")
    assert well.exit_code == 0, [line for line in well.lines if line["state"] == "WRONG"]
    stack.hang("gateway-1")
    try:
        ill = operator.ask("doctor")
    finally:
        stack.wake("gateway-1")
    assert ill.exit_code == 1
    [hung] = [line for line in ill.lines if line["part"] == "process gateway-1"]
    assert hung["state"] == "WRONG"
    assert "it hangs" in hung["text"]
    assert str(stack.places.logs / "gateway-1.log") in hung["fix"]
    stack.await_healthy()


def test_the_module_runs_as_the_command_does(stack: RunningStack) -> None:
    environment = {"PITWALL_HOME": str(stack.home), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "console", "motion", "--output", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    told = {json.loads(line)["vehicleId"] for line in done.stdout.splitlines()}
    assert told == set(stack.options.vehicle_ids)


# The fleet service


def test_vehicles_are_shown_as_their_own_files_say(operator: Operator, plant: Plant) -> None:
    def wrong() -> str:
        shown = {vehicle["vehicleId"]: vehicle for vehicle in operator.do("vehicles")}
        statuses = {name: f"VEHICLE_STATUS_{plant.last(name).status}" for name in plant.vehicle_ids()}
        told = {name: vehicle.get("status") for name, vehicle in shown.items()}
        return "" if told == statuses else f"{told} shown, {statuses} in the plant"

    await_none(wrong)
    assert [vehicle["vehicleId"] for vehicle in operator.do("vehicles", "--limit", "2")[:2]] == [FIRST, THIRD]
    assert operator.do("vehicles", "--connectivity", "LOST") == []
    [counted] = operator.do("stats")
    assert (counted["total"], counted["connected"]) == (VEHICLES, VEHICLES)


def test_an_alert_is_listed_seen_by_somebody_and_cleared(stack: RunningStack, operator: Operator) -> None:
    site = Site(stack)
    site.alerts(alert(FIRST, "LOW_FUEL", RAISED, sequence=7, raised_by=7))
    alert_id = f"{FIRST}.LOW_FUEL.1.7"

    def listed(*options: str) -> list[str]:
        return [record["alert"]["alertId"] for record in operator.do("alerts", *options)]

    await_none(lambda: "" if alert_id in listed("--vehicle", FIRST) else "not listed yet")
    assert listed("--vehicle", SECOND) == []
    refused = operator.as_("viewer").ask("alerts", "ack", alert_id)
    assert (refused.exit_code, "ROLE_MISSING" in refused.stderr) == (1, True)
    [seen] = operator.as_("supervisor").do("alerts", "ack", alert_id, "--note", "refuelled")
    assert (seen["acknowledgedBy"], seen["acknowledgementNote"]) == ("supervisor", "refuelled")
    with pitwall(stack, "watch", "--output", "json") as watching:
        assert until(watching.stdout, alert_id)[-1]["alert"]["acknowledgedBy"] == "supervisor"
        site.alerts(alert(FIRST, "LOW_FUEL", CLEARED, sequence=9, raised_by=7))
        assert until(watching.stdout, "clearedTime")[-1]["alert"]["alert"]["alertId"] == alert_id
    await_none(lambda: "still open" if alert_id in listed() else "")
    assert alert_id in listed("--all")


def test_without_a_fleet_service_stops_go_on_and_it_is_said(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    driving = await_driving(plant)
    with pitwall(stack, "watch", "--output", "json", "--every", "0.2") as watching:
        until(watching.stdout, '"vehicle"')
        stack.supervisor.stop("fleet-1")
        try:
            until(watching.stdout, '"name": "VEHICLES", "live": false')
            until(watching.stdout, '"motionState"')
            stop_id = operator.do("stop", driving)[-1]["summary"]["stopId"]
            until(watching.stdout, stop_id)
            assert operator.motion_state(driving)["motionHold"] == "MOTION_HOLD_STOPPED"
            refused = operator.ask("vehicles")
            once = operator.ask("watch", "--once")
            ill = operator.ask("doctor")
        finally:
            stack.supervisor.start("fleet-1")
        until(watching.stdout, '"name": "VEHICLES", "live": true')
    assert (refused.exit_code, json.loads(refused.stderr)["error"]["reason"]) == (1, "NO_FLEET_SERVICE")
    assert once.exit_code == 3
    assert [line["stopState"]["stop"]["stopId"] for line in once.lines if "stopState" in line] == [stop_id]
    wrong = [line["part"] for line in ill.lines if line["state"] == "WRONG"]
    assert wrong == ["process fleet-1", f"fleet service {stack.address('fleet-1')}"]
    stack.await_healthy("fleet-1")


def await_none(wrong: Callable[[], str]) -> None:
    end_s = time.monotonic() + WITHIN_S
    while told := wrong():
        assert time.monotonic() < end_s, told
        time.sleep(0.2)

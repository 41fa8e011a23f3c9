"""`stops`, `stop-status`, `motion`, `release`, `approve`, `releases`: all of it shown, nothing made up."""

import io
import re
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from haul.command.v1 import command_service_pb2 as pb
from haul.command.v1 import stop_pb2

from pitwall.ids import is_uuid7, uuid7
from tests.unit.console.fake_site import NOON, FakeService, Pitwall, motion, summary, vehicle

FIRST, SECOND, OWN = (uuid7() for _ in range(3))
FLEET = stop_pb2.Scope(fleet=stop_pb2.WholeFleet())


def state(stop_id: str, *vehicles: stop_pb2.VehicleStop, active: bool = True, **counts: int) -> stop_pb2.StopState:
    stop = stop_pb2.Stop(stop_id=stop_id, scope=FLEET, reason="dust", issued_by="olga", issued_time=NOON)
    return stop_pb2.StopState(stop=stop, summary=summary(**counts), active=active, vehicles=vehicles)


def own_stop() -> stop_pb2.StopState:
    own = state(OWN)
    own.stop.issuing_vehicle_id = "KOMATSU-930E-001"
    return own


def test_stops_are_listed_over_all_pages(pitwall: Pitwall, service: FakeService) -> None:
    service.page_size = 1
    service.stops = [state(FIRST, in_scope=51, standstill=48, pending=1, unreachable=2), state(SECOND)]
    ran = pitwall("stops")
    assert ran.code == 0
    assert "48 of 51, 1 pending, 2 unreachable" in ran.out
    assert FIRST in ran.out
    assert SECOND in ran.out
    assert [line["stop"]["stopId"] for line in pitwall("stops", "--output", "json").lines] == [FIRST, SECOND]


def test_released_stops_are_listed_when_asked_for(pitwall: Pitwall, service: FakeService) -> None:
    pitwall("stops", "--released")
    assert service.asked[0].include_released


def test_no_stop_is_said(pitwall: Pitwall, service: FakeService) -> None:
    assert pitwall("stops").out == "no active stop\n"
    assert pitwall("stops", "--output", "json").out == ""


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (state(FIRST, vehicle("A", "STANDSTILL"), in_scope=1, standstill=1), 0),
        (state(FIRST, vehicle("A", "BRAKING"), in_scope=1, pending=1), 3),
        (state(FIRST, vehicle("A", "RELEASED"), active=False), 0),
    ],
)
def test_a_stops_status_is_done_when_all_stand(
    pitwall: Pitwall, service: FakeService, found: stop_pb2.StopState, code: int
) -> None:
    service.stops = [found]
    ran = pitwall("stop-status", FIRST)
    assert ran.code == code
    assert "by olga" in ran.out
    assert "stopped" not in ran.out


def test_a_stops_status_says_not_confirmed(pitwall: Pitwall, service: FakeService) -> None:
    found = state(FIRST, vehicle("A", "BRAKING"), in_scope=1, pending=1)
    found.summary.confirmed = False
    service.stops = [found]
    assert "NOT CONFIRMED: no bound, clear the area by radio" in pitwall("stop-status", FIRST).out


def test_what_is_unknown_of_a_vehicle_is_a_dash(pitwall: Pitwall, service: FakeService) -> None:
    service.motion_states = [
        motion("KOMATSU-980E-002"),
        motion("KOMATSU-930E-001", speed_kph=0.0, age=Duration(nanos=300_000_000), latched_stop_ids=[FIRST]),
    ]
    ran = pitwall("motion")
    first, second = [" ".join(line.split()) for line in ran.out.splitlines() if "KOMATSU" in line]
    row = r"KOMATSU-930E-001 HAULING CRUISING NONE CONNECTED for \d\.\d s 0\.0 0\.3 s 1 gateway-1"
    assert re.fullmatch(row, first)
    assert second.endswith("– – gateway-1")
    as_json = pitwall("motion", "--output", "json").lines
    assert as_json[0]["speedKph"] == 0.0
    assert "speedKph" not in as_json[1]


# Releases


def requested(request: pb.RequestReleaseRequest) -> stop_pb2.ReleaseRecord:
    release = stop_pb2.Release(release_id=request.release_id, stop_ids=request.stop_ids, requested_by="olga")
    return stop_pb2.ReleaseRecord(release=release, state=stop_pb2.RELEASE_STATE_REQUESTED)


def approved(request: pb.ApproveReleaseRequest) -> stop_pb2.ReleaseRecord:
    release = stop_pb2.Release(release_id=request.release_id, approved_by="sven")
    return stop_pb2.ReleaseRecord(release=release, state=stop_pb2.RELEASE_STATE_APPROVED, released_vehicle_ids=["A"])


def test_a_release_is_requested_and_says_who_goes_on(pitwall: Pitwall, service: FakeService) -> None:
    service.releasing = requested
    ran = pitwall("release", FIRST, "--vehicle", "A", "--vehicle", "B", "--reason", "clear")
    [request] = service.asked
    assert ran.code == 0
    assert is_uuid7(request.release_id)
    assert (list(request.stop_ids), list(request.vehicle_ids), request.reason) == ([FIRST], ["A", "B"], "clear")
    assert f"pitwall approve {request.release_id}" in ran.out


def test_an_approval_comes_from_the_supervisor(pitwall: Pitwall, service: FakeService, home: Path) -> None:
    service.approving = approved
    ran = pitwall("approve", FIRST)
    assert ran.code == 0
    assert service.metadata[0]["authorization"] == "Bearer " + (home / "tokens" / "supervisor").read_text()
    assert "in force, approved by sven" in ran.out
    assert "Released by their own word so far: A" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("release", "--reason", "r"),
        ("release", FIRST, "--all", "--reason", "r"),
        ("release", FIRST),
        ("release", "7", "--reason", "r"),
        ("approve", "7"),
        ("approve",),
        ("stop-status", "7"),
    ],
)
def test_wrong_usage_is_exit_code_2(pitwall: Pitwall, service: FakeService, arguments: tuple[str, ...]) -> None:
    ran = pitwall(*arguments)
    assert ran.code == 2
    assert ran.err
    assert service.asked == []


def test_release_all_leaves_out_what_a_vehicle_issued_itself(pitwall: Pitwall, service: FakeService) -> None:
    service.stops, service.releasing = [state(FIRST), own_stop(), state(SECOND)], requested
    assert pitwall("release", "--all", "--yes", "--reason", "clear").code == 0
    assert list(service.asked[-1].stop_ids) == [FIRST, SECOND]


def test_release_all_of_many_is_several_releases(pitwall: Pitwall, service: FakeService) -> None:
    service.stops, service.releasing = [state(uuid7()) for _ in range(1_500)], requested
    assert pitwall("release", "--all", "--yes", "--reason", "clear").code == 0
    asked = [request.stop_ids for request in service.asked if isinstance(request, pb.RequestReleaseRequest)]
    assert [len(stop_ids) for stop_ids in asked] == [1_000, 500]


def test_release_all_of_nothing_is_no_json(pitwall: Pitwall, service: FakeService) -> None:
    assert pitwall("release", "--all", "--yes", "--reason", "clear", "--output", "json").out == ""


def test_release_all_asks_and_takes_no_for_an_answer(
    pitwall: Pitwall, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.stops, service.releasing = [state(FIRST)], requested
    for typed, releases in (("", 0), ("n\n", 0), ("y\n", 1)):
        terminal = io.StringIO(typed or "\n")
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        service.asked.clear()
        assert pitwall("release", "--all", "--reason", "clear").code == 0
        assert sum(isinstance(request, pb.RequestReleaseRequest) for request in service.asked) == releases


def test_release_all_with_nobody_to_ask_is_refused(
    pitwall: Pitwall, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.stops = [state(FIRST)]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ran = pitwall("release", "--all", "--reason", "clear")
    assert ran.code == 2
    assert "--yes" in ran.err


def test_releases_are_listed(pitwall: Pitwall, service: FakeService) -> None:
    release = stop_pb2.Release(
        release_id=FIRST, stop_ids=[SECOND], reason="clear", requested_by="olga", requested_time=NOON
    )
    service.releases = [stop_pb2.ReleaseRecord(release=release, state=stop_pb2.RELEASE_STATE_REQUESTED)]
    ran = pitwall("releases")
    assert "REQUESTED" in ran.out
    assert "all in scope" in ran.out
    assert pitwall("releases", "--output", "json").lines[0]["release"]["releaseId"] == FIRST

"""`pitwall stop` against a command service on real TLS: what it prints, when it ends, with which exit code."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from haul.command.v1 import command_service_pb2 as pb
from haul.command.v1.stop_pb2 import VehicleStop

from pitwall.ids import is_uuid7, uuid7
from pitwall.rpc.errors import (
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from tests.unit.console.fake_site import (
    FakeService,
    Pitwall,
    Served,
    StopScript,
    answer,
    motion,
    serve,
    summary,
    vehicle,
)

A, B, C = "KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003"
#: For scripts that say something and then nothing for HANG_S: the wait begins before there is a connection.
WAIT_S, HANG_S = "1.5", 3


def stands(*names: str) -> StopScript:
    """A script: taken, then each vehicle stands."""

    def script(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        yield answer(request, *(vehicle(name, "ISSUED") for name in names))
        for name in names:
            yield answer(request, vehicle(name, "STANDSTILL", latched_durably=True))

    return script


def test_json_begins_with_the_moment_of_issue_and_ends_with_the_summary(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = stands(A)
    before_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    ran = pitwall("stop", A, "--output", "json")
    after_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    first, *stages, last = ran.lines
    assert ran.code == 0
    assert before_s <= first["issuedMonotonic"] <= after_s
    assert [line["stage"] for line in stages] == [
        f"STOP_STAGE_{stage}" for stage in ("ISSUED", "SENT", "RECEIVED", "BRAKING", "STANDSTILL")
    ]
    assert {line["vehicleId"] for line in stages} == {A}
    assert last["summary"].pop("durationMs") <= (after_s - before_s) * 1000 + 1
    assert last == {
        "summary": {
            "stopId": first["stopId"],
            "inScope": 1,
            "standstill": 1,
            "pending": 0,
            "unreachable": 0,
            "journaledBy": 1,
            "brakesBy": "2027-01-15T08:00:02.100Z",
        }
    }


def test_each_stage_of_each_vehicle_is_one_line(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = stands(A, B)
    stages = pitwall("stop", A, B, "--output", "json").lines[1:-1]
    seen = [(line["vehicleId"], line["stage"]) for line in stages]
    assert len(seen) == len(set(seen)) == 10


def test_what_is_asked_for_is_what_was_typed(pitwall: Pitwall, service: FakeService, home: Path) -> None:
    service.stopping = stands(A, B)
    pitwall("stop", B, A, B, "--reason", "rock on the ramp")
    [request] = service.asked
    assert is_uuid7(request.stop_id)
    assert list(request.scope.vehicles.vehicle_ids) == [A, B]
    assert request.reason == "rock on the ramp"
    assert service.metadata[0]["authorization"] == "Bearer " + (home / "tokens" / "operator").read_text()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", service.metadata[0]["traceparent"])


def test_all_is_the_fleet(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = stands(A)
    assert pitwall("stop", "--all").code == 0
    assert service.asked[0].scope.WhichOneof("target") == "fleet"


def test_a_zone_comes_from_its_file(pitwall: Pitwall, service: FakeService, tmp_path: Path) -> None:
    service.stopping = stands(A)
    path = tmp_path / "pit-7.json"
    path.write_text('[{"lat": 0, "lon": 0}, {"lat": 0, "lon": 1}, {"lat": 1, "lon": 0}]')
    assert pitwall("stop", "--zone", str(path)).code == 0
    zone = service.asked[0].scope.zone
    assert (zone.name, len(zone.corners)) == ("pit-7", 3)


def test_a_stop_id_repeats_that_stop(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = stands(A)
    stop_id = uuid7()
    pitwall("stop", A, "--stop-id", stop_id)
    assert service.asked[0].stop_id == stop_id


@pytest.mark.parametrize(
    "arguments",
    [("stop",), ("stop", A, "--all"), ("stop", A, "--stop-id", "7"), ("stop", "--wait", "soon", A), ("stopp", A)],
)
def test_wrong_usage_is_exit_code_2_and_asks_nobody(
    pitwall: Pitwall, service: FakeService, arguments: tuple[str, ...]
) -> None:
    ran = pitwall(*arguments)
    assert ran.code == 2
    assert ran.err
    assert service.asked == []


def hangs_on(*vehicles: VehicleStop) -> StopScript:
    """A script: taken with these vehicles, and then nothing more."""

    def script(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        yield answer(request, *vehicles)
        threading.Event().wait(HANG_S)

    return script


def test_pending_after_the_wait_is_partly_done(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = hangs_on(vehicle(A, "STANDSTILL"), vehicle(B, "BRAKING"))
    ran = pitwall("stop", A, B, "--output", "json", "--wait", WAIT_S)
    assert ran.code == 3
    counts = ran.lines[-1]["summary"]
    assert (counts["inScope"], counts["standstill"], counts["pending"], counts["unreachable"]) == (2, 1, 1, 0)
    assert 1500 <= counts["durationMs"] < 2500


def test_unreachable_is_said_with_its_bound(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = hangs_on(vehicle(A, "ISSUED", away=True))
    ran = pitwall("stop", A, "--output", "json", "--wait", WAIT_S)
    assert ran.code == 3
    told = next(line for line in ran.lines if line.get("unreachable"))
    assert told["vehicleId"] == A
    assert told["brakesByTime"] == "2027-01-15T08:00:02.100Z"


def test_words_say_who_stands_who_is_pending_and_who_is_unreachable(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = hangs_on(
        vehicle(A, "STANDSTILL"), vehicle(B, "BRAKING", overdue=True), vehicle(C, "ISSUED", away=True)
    )
    ran = pitwall("stop", A, B, C, "--wait", WAIT_S)
    assert ran.code == 3
    assert "1 of 3 stand, 1 pending, 1 unreachable" in ran.out
    pending = next(line for line in ran.out.splitlines() if line.strip().startswith("pending"))
    unreachable = next(line for line in ran.out.splitlines() if line.strip().startswith("unreachable"))
    assert B in pending
    assert "overdue" in pending
    assert C in unreachable
    assert "brakes by itself by 2027-01-15" in unreachable
    assert "stop-status" in ran.out


def test_no_vehicle_is_called_stopped_or_standing_before_it_says_so(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = hangs_on(vehicle(A, "BRAKING"), vehicle(B, "SENT"))
    ran = pitwall("stop", A, B, "--wait", WAIT_S)
    assert "stopped" not in ran.out.lower()
    assert "stands," not in ran.out
    assert "0 of 2 stand" in ran.out


def test_not_confirmed_is_said_loudly(pitwall: Pitwall, service: FakeService) -> None:
    def script(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        one = vehicle(A, "BRAKING")
        one.ClearField("brakes_by_time")
        unconfirmed = summary(confirmed=False, journaled_by=1, command_services=3)
        unconfirmed.ClearField("brakes_by_time")
        first = answer(request, one)
        first.summary.CopyFrom(unconfirmed)
        yield first
        threading.Event().wait(HANG_S)

    service.stopping = script
    words = pitwall("stop", A, "--wait", WAIT_S)
    assert words.code == 3
    assert "NOT CONFIRMED: no bound, clear the area by radio (journaled by 1 of 3)" in words.out
    as_json = pitwall("stop", A, "--wait", WAIT_S, "--output", "json")
    assert as_json.lines[-1]["summary"]["brakesBy"] is None


def test_standing_without_confirmation_is_not_done(pitwall: Pitwall, service: FakeService) -> None:
    def script(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        yield answer(request, vehicle(A, "STANDSTILL"), confirmed=False)
        threading.Event().wait(HANG_S)

    service.stopping = script
    assert pitwall("stop", A, "--wait", WAIT_S).code == 3


def test_unknown_vehicles_are_named(pitwall: Pitwall, service: FakeService) -> None:
    service.stopping = hangs_on(vehicle("GHOST-1", "ISSUED", away=True, unknown_vehicle=True))
    ran = pitwall("stop", "GHOST-1", "--wait", WAIT_S)
    assert "not known to the site: GHOST-1" in ran.out


def test_a_released_stop_issued_anew_is_said(pitwall: Pitwall, service: FakeService) -> None:
    fresh = uuid7()

    def script(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        one = answer(request, vehicle(A, "STANDSTILL"))
        one.stop.stop_id, one.issued_as_new = fresh, True
        yield one

    service.stopping = script
    ran = pitwall("stop", A, "--stop-id", uuid7(), "--output", "json")
    assert {"stopId": fresh, "issuedAsNew": True} in ran.lines
    assert ran.lines[-1]["summary"]["stopId"] == fresh


def test_a_broken_stream_is_watched_again_without_a_second_stop(pitwall: Pitwall, service: FakeService) -> None:
    def script(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        yield answer(request, vehicle(A, "RECEIVED"))
        raise Unavailable("DRAINING", "this command service is stopping")

    def watch(request: pb.WatchStopRequest) -> Iterator[pb.WatchStopResponse]:
        full = answer(pb.EmergencyStopRequest(stop_id=request.stop_id), vehicle(A, "STANDSTILL"))
        yield pb.WatchStopResponse(stop=full.stop, summary=full.summary, vehicles=full.vehicles)

    service.stopping, service.watching = script, watch
    ran = pitwall("stop", A, "--output", "json", "--wait", "5")
    assert ran.code == 0
    assert [type(request).__name__ for request in service.asked] == ["EmergencyStopRequest", "WatchStopRequest"]
    assert service.asked[1].stop_id == service.asked[0].stop_id


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unauthenticated("TOKEN_EXPIRED", "the token has expired"), 1),
        (PermissionDenied("NOT_ALLOWED", "your roles don't cover this"), 1),
        (ResourceExhausted("TOO_MANY_STOPS", "10,000 stops are active; stop the fleet"), 1),
        (InvalidArgument("INVALID_SCOPE", "scope: 'x' is no vehicle id"), 2),
    ],
)
def test_a_refusal_ends_at_once_with_its_reason(
    pitwall: Pitwall, service: FakeService, error: Unauthenticated, code: int
) -> None:
    service.fails = error
    start_s = time.monotonic()
    ran = pitwall("stop", A, "--output", "json")
    assert ran.code == code
    assert time.monotonic() - start_s < 5
    assert ran.error["reason"] == error.reason
    assert error.message in ran.error["message"]


def test_a_command_service_that_is_full_is_asked_again(pitwall: Pitwall, service: FakeService) -> None:
    # As gRPC itself says it, without a reason of ours: at its limit of calls at one time.
    full = iter([ResourceExhausted("", "Concurrent RPC limit exceeded!")])
    service.before = lambda: next(full, None)
    service.stopping = stands(A)
    ran = pitwall("stop", A, "--output", "json")
    assert ran.code == 0
    assert [asked.stop_id for asked in service.asked] == [ran.lines[0]["stopId"]] * 2


def test_every_command_service_is_asked_with_the_same_id(pitwall: Pitwall, served: Served, home: Path) -> None:
    other_asked = threading.Event()

    def answers_last(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        assert other_asked.wait(5)
        yield answer(request, vehicle(A, "STANDSTILL"))

    def is_asked(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        other_asked.set()
        yield answer(request, vehicle(A, "RECEIVED"))

    other = serve(FakeService(stopping=is_asked), home / "certs", "command-2")
    served.service.stopping = answers_last
    ran = pitwall("stop", A, "--server", served.address, "--server", other.address, "--output", "json")
    other.stop()
    assert ran.code == 0
    assert served.service.asked[0].stop_id == other.service.asked[0].stop_id


def test_one_that_takes_the_stop_and_then_hangs_is_helped_out_by_another(
    pitwall: Pitwall, served: Served, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It has taken the stop before the other is asked, however slow this machine is.
    monkeypatch.setattr("console.stop.ALONE_S", 20.0)
    over = threading.Event()

    def hangs(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
        yield answer(request, vehicle(A, "RECEIVED"))
        over.wait(20)

    def watch(request: pb.WatchStopRequest) -> Iterator[pb.WatchStopResponse]:
        full = answer(pb.EmergencyStopRequest(stop_id=request.stop_id), vehicle(A, "STANDSTILL"))
        yield pb.WatchStopResponse(stop=full.stop, summary=full.summary, vehicles=full.vehicles)

    other = serve(FakeService(watching=watch), home / "certs", "command-2")
    served.service.stopping = hangs
    ran = pitwall("stop", A, "--server", served.address, "--server", other.address, "--output", "json")
    over.set()
    other.stop()
    assert ran.code == 0
    assert [type(request).__name__ for request in other.service.asked] == ["WatchStopRequest"], "it is a stop already"


def test_one_hung_and_one_dead_command_service_delay_nothing(
    pitwall: Pitwall, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.service.stopping = stands(A)
    with socket.create_server(("127.0.0.1", 0)) as hung, socket.create_server(("127.0.0.1", 0)) as dead:
        hung_port, dead_port = hung.getsockname()[1], dead.getsockname()[1]
        dead.close()
        servers = f"localhost:{dead_port},localhost:{hung_port},{served.address}"
        ran = pitwall("stop", A, "--server", servers, "--output", "json")
    assert ran.code == 0
    assert ran.lines[-1]["summary"]["durationMs"] < 5_000, "the hung one would be waited for 30 s"


def test_nobody_there_is_tried_until_the_wait_is_over(pitwall: Pitwall, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ran = pitwall("stop", A, "--server", f"localhost:{port}", "--wait", "1.5")
    assert ran.code == 1
    assert f"localhost:{port}" in ran.err
    assert "nothing listens" in ran.err
    assert "clear the area by radio" in ran.err
    assert "--stop-id" in ran.err
    assert "no command service has taken the stop so far" in ran.out


def test_a_command_service_that_comes_up_late_still_takes_it(
    pitwall: Pitwall, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"localhost:{listener.getsockname()[1]}"
    late = FakeService()
    late.stopping = stands(A)
    started: list[Served] = []
    timer = threading.Timer(0.6, lambda: started.append(serve(late, home / "certs", address=address)))
    timer.start()
    ran = pitwall("stop", A, "--server", address, "--wait", "20", "--output", "json")
    timer.join()
    started[0].stop()
    assert ran.code == 0
    assert len({request.stop_id for request in late.asked}) == 1


def spawned(*arguments: bytes | str, stdout: int, **environment: str) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "console", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **environment})


def test_a_stop_is_sent_though_nobody_reads_what_it_says(served: Served) -> None:
    served.service.stopping = stands(A)
    reader, writer = os.pipe()
    os.close(reader)
    process = spawned("stop", A, stdout=writer)
    os.close(writer)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert [type(request).__name__ for request in served.service.asked] == ["EmergencyStopRequest"]


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_stop_is_sent_though_the_disk_under_its_output_is_full(served: Served, output: str) -> None:
    served.service.stopping = stands(A)
    refusals = iter([ResourceExhausted("", "Concurrent RPC limit exceeded!")])
    served.service.before = lambda: next(refusals, None)
    command = [sys.executable, "-m", "console", "stop", A, "--output", output]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=full, timeout=30, check=False)
    assert done.returncode == 0
    assert [type(request).__name__ for request in served.service.asked][-1] == "EmergencyStopRequest"


def test_a_full_disk_under_another_commands_output_is_said_in_words(served: Served) -> None:
    served.service.motion_states = [motion(A)]
    with open("/dev/full", "wb") as full:
        process = spawned("motion", stdout=full.fileno())
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"No space left" in errors
    assert b"Traceback" not in errors


def test_a_terminal_without_dashes_ends_no_command(served: Served) -> None:
    served.service.motion_states = [motion(A)]
    process = spawned("motion", stdout=subprocess.PIPE, PYTHONIOENCODING="ascii")
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert b"HAULING" in out


def test_a_reason_that_is_no_text_is_wrong_usage(served: Served) -> None:
    process = spawned("stop", A, "--reason", b"\xff\xfe", stdout=subprocess.PIPE)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert b"no text" in errors
    assert b"Traceback" not in errors


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_anybody_has_taken_it_says_so(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        process = spawned("stop", A, "--server", f"localhost:{hung.getsockname()[1]}", stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"nobody has said yet that the stop is taken" in out
    assert b"clear the area by radio" in errors

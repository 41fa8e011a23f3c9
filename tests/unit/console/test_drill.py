"""`pitwall drill` and `pitwall drills`: consent first, a real stop for those who gave it, and what they measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import command_service_pb2 as pb
from haul.command.v1 import event_pb2, order_pb2

from console import drill
from pitwall.ids import is_uuid7
from pitwall.rpc.errors import FailedPrecondition, Unavailable
from pitwall.wire import duration
from tests.unit.console.conftest import NOBODY
from tests.unit.console.fake_site import FakeService, Pitwall, Served, answer, motion, serve, vehicle

A, B, C = "KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003"
V = order_pb2.DrillVerdict
PASSED = order_pb2.DrillReaction(
    speed_kph=36,
    braking_after=duration(2.0),
    standstill_after=duration(6.0),
    braking_bound=duration(2.121),
    standstill_bound=duration(6.121),
    verdict=V.DRILL_VERDICT_PASSED,
)
FAILED = order_pb2.DrillReaction(speed_kph=36, braking_bound=duration(2.121), verdict=V.DRILL_VERDICT_FAILED)
NOTHING = order_pb2.DrillReaction(speed_kph=0, verdict=V.DRILL_VERDICT_NOTHING_MEASURED)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "LOOK_S", 0.01)
    monkeypatch.setattr(drill, "LASTS_S", 0.2)


class Fleet:
    """Answers a drill: EXECUTED first, what it measured when asked again; REJECTED for those who have no reaction."""

    def __init__(self, **reactions: order_pb2.DrillReaction) -> None:
        self._reactions = reactions
        self.orders: list[order_pb2.Order] = []

    def __call__(self, request: pb.SendOrderRequest) -> pb.SendOrderResponse:
        again = bool(self.orders)
        self.orders.append(request.order)
        outcomes = [self._outcome(target.vehicle_id, again) for target in request.targets]
        return pb.SendOrderResponse(request_id=request.order.request_id, outcomes=outcomes)

    def _outcome(self, vehicle_id: str, again: bool) -> order_pb2.OrderOutcome:
        reaction = self._reactions.get(f"v{vehicle_id[-1]}")
        if reaction is None:
            return order_pb2.OrderOutcome(
                vehicle_id=vehicle_id, result=order_pb2.ORDER_RESULT_REJECTED, reason="NO_CONSENT", message="no drills"
            )
        told = reaction if again and reaction.ByteSize() else None
        return order_pb2.OrderOutcome(vehicle_id=vehicle_id, result=order_pb2.ORDER_RESULT_EXECUTED, reaction=told)


@pytest.fixture
def site(service: FakeService) -> FakeService:
    service.motion_states = [motion(A), motion(B), motion(C)]
    service.stopping = _stands
    return service


def _stands(request: pb.EmergencyStopRequest) -> Iterator[pb.EmergencyStopResponse]:
    names = request.scope.vehicles.vehicle_ids
    yield answer(request, *(vehicle(name, "STANDSTILL") for name in names))


def stops(service: FakeService) -> list[pb.EmergencyStopRequest]:
    return [request for request in service.asked if isinstance(request, pb.EmergencyStopRequest)]


def test_a_drill_of_the_links_loss_stops_nobody_by_a_stop(pitwall: Pitwall, site: FakeService) -> None:
    fleet = site.ordering = Fleet(v1=PASSED)
    ran = pitwall("drill", "--kind", "link-loss", A, "--reason", "monthly", "--output", "json")
    assert ran.code == 0
    assert {order.request_id for order in fleet.orders} == {fleet.orders[0].request_id}
    assert fleet.orders[0].link_loss_drill.reason == "monthly"
    assert stops(site) == []
    told, summary = ran.lines
    assert (told["vehicleId"], told["reaction"]["verdict"]) == (A, "DRILL_VERDICT_PASSED")
    assert summary == {
        "drill": {"requestId": told["requestId"], "passed": 1, "failed": 0, "nothingMeasured": 0, "notTold": 0}
    }


def test_a_drill_of_a_stop_stops_those_who_consent_and_nobody_else(pitwall: Pitwall, site: FakeService) -> None:
    fleet = site.ordering = Fleet(v1=PASSED, v3=PASSED)
    ran = pitwall("drill", "--kind", "STOP", A, B, C, "--reason", "monthly")
    [stopped] = stops(site)
    assert list(stopped.scope.vehicles.vehicle_ids) == [A, C]
    assert stopped.stop_id == fleet.orders[0].stop_drill.stop_id
    assert is_uuid7(stopped.stop_id)
    assert stopped.reason == "drill: monthly"
    assert f"pitwall release {stopped.stop_id}" in ran.out
    assert "no drills" in ran.out
    assert ran.code == 3


@pytest.mark.parametrize(
    ("reactions", "code"),
    [
        ({"v1": PASSED, "v2": PASSED, "v3": PASSED}, 0),
        ({"v1": PASSED, "v2": PASSED}, 3),
        ({"v1": PASSED, "v2": NOTHING, "v3": PASSED}, 3),
        ({"v1": PASSED, "v2": order_pb2.DrillReaction(), "v3": PASSED}, 3),
        ({"v1": PASSED, "v2": FAILED, "v3": PASSED}, 1),
        ({"v1": NOTHING, "v2": NOTHING, "v3": NOTHING}, 1),
        ({}, 1),
    ],
    ids=["all pass", "one refuses", "one stands", "one never tells", "one fails", "all stand", "all refuse"],
)
def test_the_exit_code_says_whether_all_have_passed(
    pitwall: Pitwall, site: FakeService, reactions: dict[str, order_pb2.DrillReaction], code: int
) -> None:
    site.ordering = Fleet(**reactions)
    assert pitwall("drill", "--kind", "link-loss", A, B, C).code == code


def test_nobody_is_stopped_where_nobody_consents(pitwall: Pitwall, site: FakeService) -> None:
    site.ordering = Fleet()
    pitwall("drill", "--kind", "stop", A, B)
    assert stops(site) == []


def test_a_refusal_by_the_only_vehicle_is_the_error(pitwall: Pitwall, site: FakeService) -> None:
    def refuse(_: pb.SendOrderRequest) -> pb.SendOrderResponse:
        raise FailedPrecondition("NO_CONSENT", f"{A}: it takes no part in drills; `drills = true` consents")

    site.ordering = refuse
    ran = pitwall("drill", "--kind", "stop", A)
    assert ran.code == 1
    assert A in ran.err
    assert "drills = true" in ran.err


def test_a_drill_goes_on_while_the_command_service_is_away_for_a_moment(pitwall: Pitwall, site: FakeService) -> None:
    fleet = Fleet(v1=PASSED)

    def flaky(request: pb.SendOrderRequest) -> pb.SendOrderResponse:
        response = fleet(request)
        if len(fleet.orders) == 2:
            raise Unavailable("STOPPING", "in a moment")
        return response

    site.ordering = flaky
    assert pitwall("drill", "--kind", "link-loss", A).code == 0


def test_what_was_measured_stands_beside_its_bound(pitwall: Pitwall, site: FakeService) -> None:
    site.ordering = Fleet(v1=PASSED, v2=FAILED)
    out = pitwall("drill", "--kind", "link-loss", A, B).out
    [passed] = [line for line in out.splitlines() if "PASSED" in line]
    [failed] = [line for line in out.splitlines() if "FAILED" in line]
    assert passed.split() == f"{A} PASSED 36.0 2.00 s of 2.12 s 6.00 s of 6.12 s".split()
    assert failed.split() == [B, "FAILED", "36.0", "–", "–"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--kind", "flood", A), "flood"),
        ((A,), "--kind"),
        (("--kind", "stop"), "--zone"),
        (("--kind", "stop", A, "--zone", "pit.json"), "--zone"),
        (("--kind", "stop", "--all"), "--all"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    pitwall: Pitwall, site: FakeService, arguments: tuple[str, ...], named: str
) -> None:
    ran = pitwall("drill", *arguments)
    assert ran.code == 2
    assert named in ran.err
    assert site.asked == []


def test_a_zone_of_two_corners_is_wrong_usage(pitwall: Pitwall, site: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "line.json"
    path.write_text('[{"lat": 1, "lon": 2}, {"lat": 1, "lon": 3}]')
    ran = pitwall("drill", "--kind", "stop", "--zone", path)
    assert ran.code == 2
    assert str(path) in ran.err
    assert site.asked == []


# The evidence


def event(
    sequence: int, vehicle_id: str, reaction: order_pb2.DrillReaction | None, request_id: str = "q"
) -> event_pb2.CommandEvent:
    time = Timestamp(seconds=1_800_000_000 + sequence)
    outcome = order_pb2.OrderOutcome(vehicle_id=vehicle_id, event_time=time, reaction=reaction)
    order = order_pb2.Order(request_id=request_id, issued_by="ana")
    order.link_loss_drill.reason = "monthly"
    return event_pb2.CommandEvent(
        command_service="command-1",
        journal_sequence=sequence,
        event_time=time,
        vehicle_id=vehicle_id,
        order=order_pb2.OrderRecord(order=order, outcomes=[outcome]),
        record_hash=bytes(32),
    )


def test_the_journal_gives_back_each_measurement_newest_first(pitwall: Pitwall, service: FakeService) -> None:
    stopped = event_pb2.CommandEvent(journal_sequence=1)
    service.events = [stopped, event(2, A, None), event(3, A, PASSED), event(4, B, FAILED)]
    service.page_size = 2
    ran = pitwall("drills", "--output", "json")
    assert ran.code == 0
    assert [line["journalSequence"] for line in ran.lines] == ["4", "3"]
    assert ran.lines[1]["order"]["outcomes"][0]["reaction"]["verdict"] == "DRILL_VERDICT_PASSED"
    assert ran.lines[0]["recordHash"]
    assert service.asked[-1].within == duration(90 * 86_400)


def test_a_row_says_who_asked_and_where_it_is_written(pitwall: Pitwall, service: FakeService) -> None:
    service.events = [event(3, A, PASSED)]
    out = pitwall("drills", "--days", "1").out
    [row] = [line for line in out.splitlines() if A in line]
    assert all(word in row for word in ("link-loss", "PASSED", "ana", "monthly", "command-1 3"))
    service.events = []
    assert "no vehicle has been drilled" in pitwall("drills").out


def test_every_journal_is_read_and_one_measurement_is_shown_once(
    pitwall: Pitwall, served: Served, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.service.events = [event(3, A, PASSED), event(4, A, PASSED, "other")]
    other = serve(FakeService(events=[event(9, A, PASSED), event(10, B, FAILED)]), home / "certs", "command-2")
    monkeypatch.setenv("PITWALL_SERVER", f"{served.address},{other.address}")
    ran = pitwall("drills", "--output", "json")
    other.stop()
    assert ran.code == 0
    told: list[Any] = [(line["vehicleId"], line["order"]["order"]["requestId"]) for line in ran.lines]
    assert told == [(B, "q"), (A, "other"), (A, "q")]


def test_a_journal_that_can_not_be_read_now_is_named(
    pitwall: Pitwall, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.service.events = [event(3, A, PASSED)]
    monkeypatch.setenv("PITWALL_SERVER", f"{served.address},{NOBODY}")
    ran = pitwall("drills")
    assert ran.code == 3
    assert A in ran.out
    assert NOBODY in ran.err

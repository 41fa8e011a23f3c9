"""`pitwall order`: bound to the state that was read, to whom it was meant for, with the outcome of each."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from haul.command.v1 import command_service_pb2 as pb
from haul.command.v1 import order_pb2, stop_pb2

from pitwall.ids import is_uuid7
from pitwall.rpc.errors import FailedPrecondition
from tests.unit.console.fake_site import FakeService, Pitwall, motion

A, B, C = "KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003"
RESULTS = order_pb2.OrderResult


def outcomes(**results: str) -> Any:
    """A script that answers each target: EXECUTED unless told otherwise, by the last letter of its number."""

    def script(request: pb.SendOrderRequest) -> pb.SendOrderResponse:
        return pb.SendOrderResponse(
            request_id=request.order.request_id,
            outcomes=[
                order_pb2.OrderOutcome(
                    vehicle_id=target.vehicle_id,
                    result=RESULTS.Value("ORDER_RESULT_" + results.get(f"v{target.vehicle_id[-1]}", "EXECUTED")),
                    may_have_happened=results.get(f"v{target.vehicle_id[-1]}") == "UNKNOWN",
                )
                for target in request.targets
            ],
        )

    return script


@pytest.fixture
def fleet(service: FakeService) -> FakeService:
    service.motion_states = [motion(A, etag="1-1-1-1"), motion(B, etag="2-2-2-2"), motion(C, etag="3-3-3-3")]
    service.ordering = outcomes()
    return service


def sent(service: FakeService) -> pb.SendOrderRequest:
    request = service.asked[-1]
    assert isinstance(request, pb.SendOrderRequest)
    return request


def test_the_etag_that_was_read_goes_with_the_order(pitwall: Pitwall, fleet: FakeService) -> None:
    assert pitwall("order", "RESUME", B).code == 0
    request = sent(fleet)
    assert [(target.vehicle_id, target.etag) for target in request.targets] == [(B, "2-2-2-2")]
    assert request.order.WhichOneof("kind") == "resume"
    assert request.order.expire_after == Duration(seconds=10)
    assert is_uuid7(request.order.request_id)


@pytest.mark.parametrize(
    ("arguments", "kind", "detail"),
    [
        (("RESUME",), "resume", order_pb2.Resume()),
        (("start-route", "--route", "north"), "start_route", order_pb2.StartRoute(route="north")),
        (("START_ROUTE",), "start_route", order_pb2.StartRoute()),
        (("SET_STATUS", "--status", "idle"), "set_status", order_pb2.SetStatus(status=1)),  # type: ignore[arg-type]
        (("SET_AUTONOMOUS_MODE", "--enabled"), "set_autonomous_mode", order_pb2.SetAutonomousMode(enabled=True)),
        (("SET_AUTONOMOUS_MODE", "--disabled"), "set_autonomous_mode", order_pb2.SetAutonomousMode(enabled=False)),
    ],
)
def test_each_kind_is_sent_as_typed(
    pitwall: Pitwall, fleet: FakeService, arguments: tuple[str, ...], kind: str, detail: object
) -> None:
    assert pitwall("order", arguments[0], A, *arguments[1:]).code == 0
    order = sent(fleet).order
    assert order.WhichOneof("kind") == kind
    assert getattr(order, kind) == detail


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("order", "FLY", A), "FLY"),
        (("order", "SET_STATUS", A), "--status"),
        (("order", "SET_STATUS", A, "--status", "FLYING"), "FLYING"),
        (("order", "SET_AUTONOMOUS_MODE", A), "--enabled"),
        (("order", "RESUME", A, "--route", "north"), "--route"),
        (("order", "RESUME", A, "--expire-after", "61"), "--expire-after"),
        (("order", "RESUME"), "--all"),
        (("order", "RESUME", A, "--all"), "--all"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    pitwall: Pitwall, fleet: FakeService, arguments: tuple[str, ...], named: str
) -> None:
    ran = pitwall(*arguments)
    assert ran.code == 2
    assert named in ran.err
    assert fleet.asked == []


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ({}, 0),
        ({"v2": "REJECTED"}, 3),
        ({"v2": "UNKNOWN"}, 3),
        ({"v1": "REJECTED", "v2": "EXPIRED", "v3": "UNAVAILABLE"}, 1),
    ],
)
def test_the_exit_code_says_how_many_executed(
    pitwall: Pitwall, fleet: FakeService, results: dict[str, str], code: int
) -> None:
    fleet.ordering = outcomes(**results)
    ran = pitwall("order", "RESUME", "--all", "--output", "json")
    assert ran.code == code
    assert [line["vehicleId"] for line in ran.lines] == [A, C, B]
    assert len({line["requestId"] for line in ran.lines}) == 1


def test_an_unknown_outcome_says_look_and_don_t_retry(pitwall: Pitwall, fleet: FakeService) -> None:
    fleet.ordering = outcomes(v2="UNKNOWN")
    assert "it may have happened: look, don't retry" in pitwall("order", "RESUME", "--all").out


def test_a_vehicle_that_nobody_has_seen_is_named(pitwall: Pitwall, fleet: FakeService) -> None:
    ran = pitwall("order", "RESUME", A, "GHOST-1", "--output", "json")
    assert ran.code == 3
    [ghost] = [line for line in ran.lines if line["vehicleId"] == "GHOST-1"]
    assert (ghost["result"], ghost["reason"]) == ("ORDER_RESULT_UNAVAILABLE", "UNKNOWN_VEHICLE")


def test_only_unknown_vehicles_ask_nothing(pitwall: Pitwall, fleet: FakeService) -> None:
    assert pitwall("order", "RESUME", "GHOST-1").code == 1
    assert not any(isinstance(request, pb.SendOrderRequest) for request in fleet.asked)


def test_a_refusal_by_the_only_vehicle_is_the_error(pitwall: Pitwall, fleet: FakeService) -> None:
    def refuse(_: pb.SendOrderRequest) -> pb.SendOrderResponse:
        raise FailedPrecondition("STOPPED", "a stop is latched; release it first")

    fleet.ordering = refuse
    ran = pitwall("order", "RESUME", A)
    assert ran.code == 1
    assert "a stop is latched; release it first [STOPPED]" in ran.err
    assert "GHOST-1" in pitwall("order", "RESUME", A, "GHOST-1").err


def test_a_zone_takes_those_that_are_surely_inside(pitwall: Pitwall, service: FakeService, tmp_path: Path) -> None:
    inside = stop_pb2.GeoPoint(latitude_degrees=0.2, longitude_degrees=0.2)
    outside = stop_pb2.GeoPoint(latitude_degrees=5, longitude_degrees=5)
    fresh, stale = Duration(seconds=1), Duration(seconds=9)
    service.motion_states = [
        motion(A, location=inside, age=fresh),
        motion(B, location=outside, age=fresh),
        motion(C, location=inside, age=stale),
        motion("KOMATSU-980E-004"),
    ]
    service.ordering = outcomes()
    path = tmp_path / "zone.json"
    path.write_text('[{"lat": 0, "lon": 0}, {"lat": 0, "lon": 1}, {"lat": 1, "lon": 0}]')
    ran = pitwall("order", "RESUME", "--zone", str(path))
    assert [target.vehicle_id for target in sent(service).targets] == [A]
    assert f"nobody knows where they are: {C}, KOMATSU-980E-004" in ran.out

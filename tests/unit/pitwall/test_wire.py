"""Messages and objects: what goes out comes back the same, and what is wrong is named as the caller wrote it."""

from datetime import UTC, datetime

import pytest
from haul.command.v1 import order_pb2, stop_pb2
from hypothesis import given
from hypothesis import strategies as st

from pitwall import wire
from pitwall.domain.drill import DrillReaction, DrillVerdict
from pitwall.domain.geo import Position, Zone
from pitwall.domain.order import (
    LinkLossDrill,
    MotionEtag,
    Order,
    OrderOutcome,
    OrderResult,
    Resume,
    SetAutonomousMode,
    SetStatus,
    StartRoute,
    StopDrill,
)
from pitwall.domain.stop_set import FleetScope, Release, SetDelta, Stop, VehicleScope, ZoneScope
from pitwall.domain.vehicle_state import VehicleStatus
from pitwall.ids import uuid7

NOW = datetime(2026, 11, 21, 4, 5, 6, 789, tzinfo=UTC)
ZONE = Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1)))
SCOPES = st.sampled_from([FleetScope(), ZoneScope(ZONE), VehicleScope(frozenset({"KOMATSU-930E-001", "B-1"}))])
TEXT = st.text(max_size=20)
MAYBE_VEHICLE = st.none() | st.just("KOMATSU-930E-001")

STOPS = st.builds(
    Stop, st.uuids().map(str), SCOPES, TEXT, TEXT, st.just(NOW), issuing_vehicle_id=MAYBE_VEHICLE, traceparent=TEXT
)
RELEASES = st.builds(
    Release,
    st.uuids().map(str),
    st.frozensets(st.uuids().map(str), min_size=1, max_size=3),
    st.frozensets(st.sampled_from(["ABC", "KOMATSU-930E-001"])),
    TEXT,
    TEXT,
    st.just(NOW),
    TEXT,
    st.none() | st.just(NOW),
    MAYBE_VEHICLE,
)
KINDS = st.one_of(
    st.builds(SetStatus, st.sampled_from(VehicleStatus)),
    st.builds(StartRoute, TEXT),
    st.just(Resume()),
    st.builds(SetAutonomousMode, st.booleans()),
    st.builds(LinkLossDrill, TEXT),
    st.builds(StopDrill, st.just("s"), TEXT),
)
#: Eighths, which are the same as text of nanoseconds and as a float.
SECONDS = st.none() | st.integers(0, 10**6).map(lambda eighths: eighths / 8)
REACTIONS = st.builds(
    DrillReaction,
    st.none() | st.floats(0, 100),
    SECONDS,
    SECONDS,
    SECONDS,
    SECONDS,
    st.none() | st.sampled_from(DrillVerdict),
)


@given(st.lists(STOPS, max_size=3), st.lists(RELEASES, max_size=3))
def test_a_set_survives_the_wire(stops: list[Stop], releases: list[Release]) -> None:
    delta = SetDelta(tuple(stops), tuple(releases))
    sent = wire.set_to_proto(delta).SerializeToString()
    assert wire.set_from_proto(stop_pb2.StopSet.FromString(sent)) == delta


@given(KINDS.flatmap(lambda kind: st.builds(Order, st.just("id"), st.just(kind), st.floats(1, 60), TEXT)))
def test_an_order_survives_the_wire(order: Order) -> None:
    back = wire.order_from_proto(order_pb2.Order.FromString(wire.order_to_proto(order).SerializeToString()))
    assert (back.request_id, back.kind, back.issued_by) == (order.request_id, order.kind, order.issued_by)
    assert back.expire_after_s == pytest.approx(order.expire_after_s, abs=1e-9)


def test_an_order_that_names_no_expiry_gets_ten_seconds() -> None:
    message = order_pb2.Order(request_id="id", resume=order_pb2.Resume())
    assert wire.order_from_proto(message).expire_after_s == 10


@given(st.integers(0, 2**64 - 1))
def test_an_etag_survives_the_wire(number: int) -> None:
    etag = MotionEtag(number, 2, 3, 4)
    assert wire.etag_from_proto(wire.etag_to_proto(etag)) == etag


@pytest.mark.parametrize("result", OrderResult)
def test_an_outcome_survives_the_wire(result: OrderResult) -> None:
    outcome = OrderOutcome(result, "WHY", "because", may_have_happened=True)
    message = wire.outcome_to_proto("ABC", outcome, NOW)
    assert (message.vehicle_id, wire.to_datetime(message.event_time)) == ("ABC", NOW)
    assert wire.outcome_from_proto(message) == outcome


@given(REACTIONS)
def test_a_reaction_survives_the_wire_and_unknown_stays_unknown(reaction: DrillReaction) -> None:
    outcome = OrderOutcome(OrderResult.EXECUTED, reaction=reaction)
    sent = wire.outcome_to_proto("ABC", outcome, NOW).SerializeToString()
    assert wire.outcome_from_proto(order_pb2.OrderOutcome.FromString(sent)) == outcome


@given(st.floats(0, 1e9))
def test_a_span_survives_the_wire(seconds: float) -> None:
    assert wire.to_seconds(wire.duration(seconds)) == pytest.approx(seconds, abs=1e-6)


def scope(*vehicle_ids: str) -> stop_pb2.Scope:
    return stop_pb2.Scope(vehicles=stop_pb2.VehicleList(vehicle_ids=vehicle_ids))


LINE = stop_pb2.Scope(zone=stop_pb2.Zone(corners=[stop_pb2.GeoPoint(latitude_degrees=i) for i in range(2)]))


@pytest.mark.parametrize(
    ("message", "field", "complaint"),
    [
        (stop_pb2.Scope(), "scope", "name vehicles, a zone or the fleet"),
        (scope(), "scope.vehicles.vehicle_ids", "has 0 vehicles"),
        (scope(*(f"V-{i:05}" for i in range(10_001))), "scope.vehicles.vehicle_ids", "has 10001"),
        (scope("ABC", "truck 1"), "scope.vehicles.vehicle_ids[1]", "'truck 1' is no vehicle id"),
        (scope("AB"), "scope.vehicles.vehicle_ids[0]", "3 to 63"),
        (scope("A" * 64), "scope.vehicles.vehicle_ids[0]", "3 to 63"),
        (scope("-ABC"), "scope.vehicles.vehicle_ids[0]", "no vehicle id"),
        (scope("ABC\n"), "scope.vehicles.vehicle_ids[0]", "no vehicle id"),
        (LINE, "scope.zone.corners", "3 to 100 corners"),
    ],
)
def test_a_bad_scope_is_named(message: stop_pb2.Scope, field: str, complaint: str) -> None:
    with pytest.raises(wire.InvalidMessage, match=complaint) as refused:
        wire.scope_from_proto(message)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (stop_pb2.Stop(scope=scope("ABC")), "stop_id"),
        (stop_pb2.Stop(stop_id="s", scope=scope("ABC"), reason="x" * 501), "reason"),
        (stop_pb2.Stop(stop_id="s"), "scope"),
    ],
)
def test_a_bad_stop_is_named(message: stop_pb2.Stop, field: str) -> None:
    with pytest.raises(wire.InvalidMessage) as refused:
        wire.stop_from_proto(message)
    assert refused.value.field == field


@given(st.uuids().map(str))
def test_our_own_ids_can_be_stored(made: str) -> None:
    for text in (made, uuid7(), f"{'A' * 63}.FAULTY_SENSOR.{2**63}.{2**63}.backfilled"):
        assert wire.STORABLE_ID.fullmatch(text)


@pytest.mark.parametrize("text", ["", "a\x00", "a\n", "\x7f", "é", 'a"', "a\\", "a" * 201])
def test_what_a_store_or_a_page_token_can_not_take_is_no_storable_id(text: str) -> None:
    assert wire.STORABLE_ID.fullmatch(text) is None


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (stop_pb2.Release(stop_ids=["s"]), "release_id"),
        (stop_pb2.Release(release_id="r"), "stop_ids"),
        (stop_pb2.Release(release_id="r", stop_ids=["s"] * 1001), "stop_ids"),
        (stop_pb2.Release(release_id="r", stop_ids=["s"], vehicle_ids=["?"]), "vehicle_ids[0]"),
        (stop_pb2.Release(release_id="r", stop_ids=["s"], reason="x" * 501), "reason"),
    ],
)
def test_a_bad_release_is_named(message: stop_pb2.Release, field: str) -> None:
    with pytest.raises(wire.InvalidMessage) as refused:
        wire.release_from_proto(message)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (order_pb2.Order(resume=order_pb2.Resume()), "request_id"),
        (order_pb2.Order(request_id="id"), "kind"),
        (order_pb2.Order(request_id="id", set_status=order_pb2.SetStatus()), "set_status.status"),
        (order_pb2.Order(request_id="id", set_status=order_pb2.SetStatus(status=99)), "set_status.status"),  # type: ignore[arg-type]
        (order_pb2.Order(request_id="id", start_route=order_pb2.StartRoute(route="x" * 201)), "start_route.route"),
        (order_pb2.Order(request_id="id", stop_drill=order_pb2.StopDrill()), "stop_drill.stop_id"),
        (
            order_pb2.Order(request_id="id", link_loss_drill=order_pb2.LinkLossDrill(reason="x" * 501)),
            "link_loss_drill.reason",
        ),
        (order_pb2.Order(request_id="id", resume=order_pb2.Resume(), expire_after=wire.duration(0)), "expire_after"),
        (order_pb2.Order(request_id="id", resume=order_pb2.Resume(), expire_after=wire.duration(3600)), "expire_after"),
    ],
)
def test_a_bad_order_is_named(message: order_pb2.Order, field: str) -> None:
    with pytest.raises(wire.InvalidMessage) as refused:
        wire.order_from_proto(message)
    assert refused.value.field == field


def test_an_outcome_without_result_is_named() -> None:
    with pytest.raises(wire.InvalidMessage, match="result"):
        wire.outcome_from_proto(order_pb2.OrderOutcome())

"""What an operator is told adds up, whatever order the answers come in and whoever gives them."""

import pytest
from haul.command.v1 import stop_pb2
from hypothesis import given
from hypothesis import strategies as st

from console.stop_view import LinkChanged, Overdue, StageReached, StopView
from tests.unit.console.fake_site import BRAKES_BY, NOON, STAGES, summary, vehicle

STOP = stop_pb2.Stop(
    stop_id="s", scope=stop_pb2.Scope(vehicles=stop_pb2.VehicleList(vehicle_ids=["A"])), issued_time=NOON
)
#: From NOON to BRAKES_BY, seconds.
BOUND_S = 2.1


def merged(view: StopView, server: str, *vehicles: stop_pb2.VehicleStop, **more: object) -> list[object]:
    return list(view.merge(server, STOP, summary(**more), vehicles))


def test_every_stage_is_told_once_and_in_order() -> None:
    view = StopView("s")
    first = merged(view, "one", vehicle("A", "RECEIVED"))
    again = merged(view, "two", vehicle("A", "RECEIVED"))
    later = merged(view, "one", vehicle("A", "STANDSTILL"))
    assert [event.stage for event in first if isinstance(event, StageReached)] == [1, 2, 3]
    assert again == []
    assert [event.stage for event in later if isinstance(event, StageReached)] == [4, 5]


def test_a_command_service_that_lags_takes_nothing_back() -> None:
    view = StopView("s")
    merged(view, "one", vehicle("A", "STANDSTILL"))
    assert merged(view, "two", vehicle("A", "SENT")) == []
    assert view.summary().standstill == 1


def test_a_vehicle_is_unreachable_only_while_nobody_has_a_link() -> None:
    view = StopView("s")
    [*_, gone] = merged(view, "one", vehicle("A", "ISSUED", away=True))
    assert gone == LinkChanged("A", stop_pb2.STOP_STAGE_ISSUED, True, BRAKES_BY, None)
    [*_, back] = merged(view, "two", vehicle("A", "SENT"))
    assert isinstance(back, LinkChanged)
    assert not back.unreachable
    assert view.summary().unreachable == 0


def test_the_word_of_a_lost_command_service_about_links_does_not_count() -> None:
    view = StopView("s")
    merged(view, "one", vehicle("A", "SENT"))
    merged(view, "two", vehicle("A", "SENT", away=True))
    [gone] = view.lost("one")
    assert isinstance(gone, LinkChanged)
    assert gone.unreachable
    assert view.lost("two") == []  # the last word stands


def test_a_vehicle_that_stood_and_cannot_be_heard_is_unreachable() -> None:
    view = StopView("s")
    merged(view, "one", vehicle("A", "STANDSTILL"))
    merged(view, "one", vehicle("A", "STANDSTILL", away=True))
    assert (view.summary().standstill, view.summary().unreachable) == (0, 1)
    assert not view.done(0.1)


def test_overdue_is_told_once_for_each_stage() -> None:
    view = StopView("s")
    told = merged(view, "one", vehicle("A", "SENT", overdue=True))
    assert told[-1] == Overdue("A", stop_pb2.STOP_STAGE_SENT)
    assert merged(view, "one", vehicle("A", "SENT", overdue=True)) == []
    assert not any(isinstance(event, Overdue) for event in merged(view, "one", vehicle("A", "RECEIVED")))
    assert not view.vehicles["A"].overdue


def test_one_confirmation_is_enough_and_the_earliest_bound_counts() -> None:
    view = StopView("s")
    merged(view, "one", vehicle("A", "STANDSTILL"), confirmed=False, journaled_by=1, command_services=3)
    assert view.summary().brakes_by is None
    assert not view.done(0.1)
    merged(view, "two", confirmed=True, journaled_by=2, command_services=3)
    found = view.summary()
    assert (found.confirmed, found.journaled_by, found.command_services) == (True, 2, 3)
    assert found.brakes_by == BRAKES_BY
    assert view.done(0.1)


def test_the_released_are_out_of_scope() -> None:
    view = StopView("s")
    merged(view, "one", vehicle("A", "RELEASED"), vehicle("B", "STANDSTILL"))
    assert view.summary().in_scope == 1
    assert view.done(0.1)


def test_nothing_is_done_before_an_answer() -> None:
    assert not StopView("s").done(99)


@pytest.mark.parametrize(
    "scope", [stop_pb2.Scope(fleet=stop_pb2.WholeFleet()), stop_pb2.Scope(zone=stop_pb2.Zone(name="ramp"))]
)
@pytest.mark.parametrize("vehicles", [[], [vehicle("A", "STANDSTILL")]])
def test_a_stop_whose_scope_may_grow_is_not_done_before_its_bound(
    scope: stop_pb2.Scope, vehicles: list[stop_pb2.VehicleStop]
) -> None:
    """Nobody has reported yet is not the same as nobody is there."""
    view = StopView("s")
    view.merge("one", stop_pb2.Stop(stop_id="s", scope=scope, issued_time=NOON), summary(), vehicles)
    assert not view.done(BOUND_S - 0.01)
    assert view.done(BOUND_S + 0.01)


answers = st.lists(
    st.tuples(
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from(["A", "B", "C", "D"]),
        st.sampled_from(["", *STAGES]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)


@given(answers)
def test_the_sums_add_up_and_no_stage_goes_back(given_answers: list[tuple[str, str, str, bool, bool]]) -> None:
    view = StopView("s")
    furthest: dict[str, int] = {}
    for server, name, stage, away, gone in given_answers:
        merged(view, server, vehicle(name, stage, away=away))
        if gone:
            view.lost(server)
        found = view.summary()
        assert found.in_scope == found.standstill + found.pending + found.unreachable
        assert view.vehicles[name].stage >= furthest.get(name, 0)
        furthest[name] = view.vehicles[name].stage


@given(answers)
def test_whoever_counts_as_standing_has_said_so(given_answers: list[tuple[str, str, str, bool, bool]]) -> None:
    view = StopView("s")
    said: set[str] = set()
    for server, name, stage, away, _ in given_answers:
        merged(view, server, vehicle(name, stage, away=away))
        if stage in ("STANDSTILL", "RELEASED"):
            said.add(name)
        assert {one.vehicle_id for one in view.vehicles.values() if one.stands} <= said

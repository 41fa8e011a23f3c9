"""The gateway's stop set: who gets what, who may withdraw what, and who may not move."""

from datetime import timedelta

import pytest
from haul.link.v1.vehicle_link_service_pb2 import ConnectResponse
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.effects import Code, Illegal
from ingest_gateway.lanes import SetFrame
from ingest_gateway.limits import MAX_BROUGHT, MAX_SET_ENTRIES_PER_FRAME, MAX_WITHHELD_RELEASES
from ingest_gateway.stop_board import StopBoard
from pitwall import wire
from pitwall.domain.geo import Position, Zone
from pitwall.domain.stop_set import MAX_ACTIVE_STOPS, SetDelta, StopSet, VehicleScope, ZoneScope
from tests.unit.ingest_gateway.builders import OTHER, VEHICLE, delta, release, stop

ZONE = ZoneScope(Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1))))
NAMED = VehicleScope(frozenset({VEHICLE}))


def content(frames: tuple[SetFrame, ...]) -> SetDelta:
    found = [wire.set_from_proto(ConnectResponse.FromString(frame.data).stop_set) for frame in frames]
    return SetDelta(tuple(s for each in found for s in each.stops), tuple(r for each in found for r in each.releases))


def ids(frames: tuple[SetFrame, ...]) -> set[str]:
    found = content(frames)
    return {each.stop_id for each in found.stops} | {each.release_id for each in found.releases}


# First frames


def test_the_first_frame_goes_even_where_nothing_is_stopped() -> None:
    (frame,) = StopBoard().first_frames(VEHICLE, ())
    assert ConnectResponse.FromString(frame.data).WhichOneof("body") == "stop_set"
    assert content((frame,)) == delta()


def test_it_is_what_applies_and_the_releases_of_what_is_latched() -> None:
    board = StopBoard()
    board.merge(
        delta(
            stop("fleet"),
            stop("zone", ZONE),
            stop("named", NAMED),
            stop("other", VehicleScope(frozenset({OTHER}))),
            stop("gone"),
            release("r-gone", "gone"),
        )
    )
    assert ids(board.first_frames(VEHICLE, ["gone"])) == {"fleet", "zone", "named", "r-gone"}
    assert ids(board.first_frames(OTHER, [])) == {"fleet", "zone", "other"}


def test_a_large_set_comes_in_frames_that_any_vehicle_takes() -> None:
    board = StopBoard()
    many = [stop(f"s-{number}", ZONE) for number in range(2 * MAX_SET_ENTRIES_PER_FRAME + 1)]
    board.merge(delta(*many))
    frames = board.first_frames(VEHICLE, ())
    assert [len(frame.stop_ids) for frame in frames] == [MAX_SET_ENTRIES_PER_FRAME] * 2 + [1]
    assert ids(frames) == {each.stop_id for each in many}


# Changes


def test_a_change_goes_to_whom_it_concerns() -> None:
    board = StopBoard()
    news = board.merge(delta(stop("named", NAMED), stop("zone", ZONE), release("r", "elsewhere", vehicles=[OTHER])))
    fan_out = board.fan_out(news)
    assert ids(fan_out.frames_for(VEHICLE)) == {"named", "zone"}
    assert ids(fan_out.frames_for(OTHER)) == {"zone", "r"}


def test_what_concerns_nobody_else_is_not_sent_to_them() -> None:
    board = StopBoard()
    fan_out = board.fan_out(board.merge(delta(stop("named", NAMED))))
    assert fan_out.frames_for(OTHER) == ()


def test_a_release_for_all_in_scope_goes_to_those_in_scope() -> None:
    board = StopBoard()
    board.merge(delta(stop("named", NAMED), stop("zone", ZONE)))
    fan_out = board.fan_out(board.merge(delta(release("r-named", "named"))))
    assert ids(fan_out.frames_for(VEHICLE)) == {"r-named"}
    assert fan_out.frames_for(OTHER) == ()
    fan_out = board.fan_out(board.merge(delta(release("r-both", "named", "zone"))))
    assert ids(fan_out.frames_for(OTHER)) == {"r-both"}


def test_a_stop_that_comes_after_its_release_latches_nobody() -> None:
    board = StopBoard()
    board.merge(delta(release("r", "late", vehicles=[VEHICLE])))
    fan_out = board.fan_out(board.merge(delta(stop("late"))))
    assert fan_out.frames_for(VEHICLE) == ()
    assert ids(fan_out.frames_for(OTHER)) == {"late"}


def test_the_whole_fleet_shares_the_bytes() -> None:
    board = StopBoard()
    fan_out = board.fan_out(board.merge(delta(stop("fleet"))))
    assert fan_out.frames_for(VEHICLE)[0].data is fan_out.frames_for(OTHER)[0].data


def test_what_is_known_is_no_news() -> None:
    board = StopBoard()
    board.merge(delta(stop("fleet")))
    assert not board.merge(delta(stop("fleet")))


# Permits


@pytest.mark.parametrize(("scope", "holds"), [(stop("x").scope, True), (NAMED, True), (ZONE, False)])
def test_a_stop_that_is_no_zone_holds_at_once_until_it_is_released(scope: object, holds: bool) -> None:
    board = StopBoard()
    assert not board.holds(VEHICLE)
    board.merge(delta(stop("s", scope)))  # type: ignore[arg-type]
    assert board.holds(VEHICLE) is holds
    board.merge(delta(release("r", "s")))
    assert not board.holds(VEHICLE)


def test_what_a_vehicle_brings_holds_at_once_too() -> None:
    board = StopBoard()
    assert not board.holds(OTHER)
    board.merge_brought(delta(stop("s")), VEHICLE)
    assert board.holds(OTHER)


# What vehicles bring


def test_a_vehicle_ends_its_own_stop() -> None:
    board = StopBoard()
    own = stop("own", vehicle_id=VEHICLE)
    assert board.merge_brought(delta(own), VEHICLE).new == delta(own)
    withdrawal = release("w", "own", vehicle_id=VEHICLE)
    assert board.merge_brought(delta(withdrawal), VEHICLE).new == delta(withdrawal)
    assert not board.holds(VEHICLE)


def test_a_vehicle_ends_nobody_elses_stop() -> None:
    board = StopBoard()
    board.merge(delta(stop("fleet")))
    merged = board.merge_brought(delta(release("w", "fleet", vehicle_id=VEHICLE)), VEHICLE)
    assert (merged.new, merged.foreign) == (delta(), 1)
    assert board.holds(VEHICLE)


def test_not_even_together_with_one_of_its_own() -> None:
    board = StopBoard()
    board.merge(delta(stop("fleet")))
    brought = delta(stop("own", vehicle_id=VEHICLE), release("w", "own", "fleet", vehicle_id=VEHICLE))
    assert board.merge_brought(brought, VEHICLE).foreign == 1
    assert board.holds(VEHICLE)


def test_a_withdrawal_of_an_unknown_stop_waits_until_it_is_known_whose_it_is() -> None:
    board = StopBoard()
    withdrawal = release("w", "s", vehicle_id=VEHICLE)
    assert not board.merge_brought(delta(withdrawal), VEHICLE).new
    own = stop("s", vehicle_id=VEHICLE)
    assert board.merge(delta(own)) == delta(own, withdrawal)
    assert not board.holds(VEHICLE)


def test_and_counts_for_nothing_where_the_stop_is_somebody_elses() -> None:
    board = StopBoard()
    board.merge_brought(delta(release("w", "s", vehicle_id=VEHICLE)), VEHICLE)
    assert board.merge(delta(stop("s"))) == delta(stop("s"))
    assert board.holds(VEHICLE)


def test_a_withdrawal_of_several_waits_until_all_of_them_are_known() -> None:
    board = StopBoard()
    both = release("w", "one", "two", vehicles=[VEHICLE], vehicle_id=VEHICLE)
    board.merge_brought(delta(both), VEHICLE)
    assert board.merge(delta(stop("one", vehicle_id=VEHICLE))).releases == ()
    assert board.holds(VEHICLE)
    assert board.merge(delta(stop("two", vehicle_id=VEHICLE))).releases == (both,)
    assert not board.holds(VEHICLE)


def test_whom_it_holds_is_remembered_of_so_many_and_told_right_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest_gateway.stop_board.MAX_KNOWN_VEHICLES", 2)
    board = StopBoard()
    board.merge(delta(stop("named", NAMED)))
    names = [VEHICLE, OTHER, "THIRD-1", "FOURTH-1", VEHICLE]
    assert [board.holds(name) for name in names] == [True, False, False, False, True]


def test_what_is_released_for_all_and_old_is_forgotten() -> None:
    board = StopBoard()
    board.merge(delta(stop("old"), stop("active"), release("r", "old")))
    assert board.active_count == 1
    long_after = stop("old").issued_time + timedelta(days=1)
    assert board.compact(long_after) == 1
    assert {one.stop_id for one in board.snapshot().stops} == {"active"}


def test_what_waits_is_bounded() -> None:
    board = StopBoard()
    for number in range(MAX_WITHHELD_RELEASES + 1):
        board.merge_brought(delta(release(f"w-{number}", f"s-{number}", vehicle_id=VEHICLE)), VEHICLE)
    assert len(board.merge(delta(stop("s-0", vehicle_id=VEHICLE))).releases) == 0
    assert len(board.merge(delta(stop("s-1", vehicle_id=VEHICLE))).releases) == 1


def test_a_vehicle_can_not_fill_the_set_without_end() -> None:
    board = StopBoard()
    board.merge(delta(*(stop(f"s-{number}") for number in range(MAX_ACTIVE_STOPS + MAX_BROUGHT))))
    with pytest.raises(Illegal) as caught:
        board.merge_brought(delta(stop("one more")), VEHICLE)
    assert (caught.value.close.code, caught.value.close.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_STOPS")
    assert board.merge_brought(delta(stop("s-0")), VEHICLE).new == delta()


ENTRIES = st.lists(
    st.one_of(
        st.builds(stop, st.sampled_from("abc"), st.sampled_from([None, NAMED, ZONE, VehicleScope(frozenset({OTHER}))])),
        st.builds(
            lambda r, s, v: release(f"{r}{s}{v}", s, vehicles=v),
            st.sampled_from("xy"),
            st.sampled_from("abc"),
            st.sampled_from([(), (VEHICLE,), (OTHER,)]),
        ),
    ),
    max_size=10,
)


@given(ENTRIES)
def test_frames_of_every_change_leave_a_vehicle_with_what_applies(entries: list[object]) -> None:
    """A vehicle that merges every frame it gets holds what the gateway's set says of it, at every moment."""
    board, whole, vehicle = StopBoard(), StopSet(), StopSet()
    for entry in entries:
        change = delta(entry)  # type: ignore[arg-type]
        whole.merge(change.stops, change.releases)
        got = content(board.fan_out(board.merge(change)).frames_for(VEHICLE))
        vehicle.merge(got.stops, got.releases)
        expected = {each.stop_id for each in whole.applies_to(VEHICLE)}
        assert {each.stop_id for each in vehicle.applies_to(VEHICLE)} == expected
        assert board.holds(VEHICLE) == whole.holds(VEHICLE)

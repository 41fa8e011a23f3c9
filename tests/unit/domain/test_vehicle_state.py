"""Every status against every cause: what the table allows happens, all else raises and changes nothing."""

from itertools import product

import pytest

from pitwall.domain.vehicle_state import (
    MOVING,
    PARKED,
    TRANSITIONS,
    Cause,
    IllegalTransition,
    VehicleStatus,
    reachable,
    released,
    stopped,
    transition,
)

S = VehicleStatus

# The mission and the orders as CONTRACT says them, written out once more by hand.
ALLOWED = {
    Cause.MISSION: "IDLE>ROUTING ROUTING>LOADING LOADING>HAULING HAULING>DUMPING DUMPING>RETURNING DUMPING>IDLE "
    "RETURNING>IDLE",
    Cause.ORDER: "IDLE>ROUTING IDLE>MAINTENANCE MAINTENANCE>IDLE IDLE>OFFLINE MAINTENANCE>OFFLINE OFFLINE>IDLE "
    "ERROR>MAINTENANCE",
    Cause.STOP: "IDLE>EMERGENCY_STOP ROUTING>EMERGENCY_STOP LOADING>EMERGENCY_STOP HAULING>EMERGENCY_STOP "
    "DUMPING>EMERGENCY_STOP RETURNING>EMERGENCY_STOP ERROR>EMERGENCY_STOP",
    Cause.RELEASE: "EMERGENCY_STOP>MAINTENANCE",
    Cause.FAULT: "IDLE>ERROR ROUTING>ERROR LOADING>ERROR HAULING>ERROR DUMPING>ERROR RETURNING>ERROR "
    "MAINTENANCE>ERROR OFFLINE>ERROR EMERGENCY_STOP>ERROR",
}


@pytest.mark.parametrize("cause", Cause)
def test_exactly_the_written_transitions_are_allowed(cause: Cause) -> None:
    written = {tuple(pair.split(">")) for pair in ALLOWED[cause].split()}
    for before, after in product(S, S):
        if (before.name, after.name) in written:
            assert transition(before, after, cause) is after
        else:
            with pytest.raises(IllegalTransition) as refused:
                transition(before, after, cause)
            assert (refused.value.current, refused.value.requested) == (before, after)


@pytest.mark.parametrize("status", S)
def test_a_stop_takes_every_status_but_the_parked_ones(status: VehicleStatus) -> None:
    assert stopped(status) is (status if status in {S.MAINTENANCE, S.OFFLINE} else S.EMERGENCY_STOP)


@pytest.mark.parametrize("status", S)
def test_a_release_never_leads_to_a_status_in_which_it_moves(status: VehicleStatus) -> None:
    assert released(stopped(status)) not in MOVING


def test_no_order_leads_out_of_an_emergency_stop() -> None:
    assert reachable(S.EMERGENCY_STOP, Cause.ORDER) == frozenset()


def test_a_parked_vehicle_does_not_move() -> None:
    assert not PARKED & MOVING


def test_the_refusal_says_where_it_leads_instead() -> None:
    with pytest.raises(IllegalTransition, match=r"OFFLINE -> ROUTING by ORDER is not allowed; .* leads to IDLE"):
        transition(S.OFFLINE, S.ROUTING, Cause.ORDER)


def test_every_cause_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Cause)

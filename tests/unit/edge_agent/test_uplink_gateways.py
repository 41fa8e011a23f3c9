"""Which gateway next, and when."""

import pytest

from edge_agent.gateways import GatewayList, Try
from edge_agent.limits import MAX_MAJORITY_WAIT_S
from pitwall.domain.permit import PermitDenial

NONE, STOPPED, NO_MAJORITY = PermitDenial.NONE, PermitDenial.STOPPED, PermitDenial.NO_MAJORITY


def gateways(*addresses: str, start: int = 0) -> GatewayList:
    return GatewayList(addresses or ("a", "b"), start, float)


def test_no_gateway_is_refused() -> None:
    with pytest.raises(ValueError, match="gateways"):
        GatewayList((), 0, float)


def test_a_fleet_is_spread_over_the_gateways() -> None:
    assert [gateways(start=n).address for n in (0, 1, 2, 7)] == ["a", "b", "a", "b"]


def test_a_broken_link_leads_on_after_waits_that_grow() -> None:
    some = gateways("a", "b", "c")
    assert [some.broken() for _ in range(4)] == [Try("b", 1), Try("c", 2), Try("a", 3), Try("b", 4)]


def test_an_answer_to_a_heartbeat_ends_the_growth() -> None:
    some = gateways()
    some.broken()
    some.answered(STOPPED, 0)
    assert some.broken() == Try("a", 1)


def test_one_that_drains_is_left_for_the_next_at_once() -> None:
    assert gateways().moved() == Try("b", 0)


def test_from_one_without_a_majority_a_fleet_does_not_move_all_at_one_moment() -> None:
    some = gateways()
    some.answered(NO_MAJORITY, 0)
    assert [some.moved(), some.moved()] == [Try("b", 1), Try("a", 0)]


def test_the_first_gateway_without_a_majority_is_left_at_once() -> None:
    assert gateways().answered(NO_MAJORITY, 0)


def test_where_nobody_has_a_majority_it_moves_about_ever_more_patiently() -> None:
    some, moves, now_s = gateways(), [], 0.0
    while now_s < 130:
        if some.answered(NO_MAJORITY, now_s):
            moves.append(round(now_s, 1))
            some.moved()
        now_s += 0.5
    assert moves == [0, 1.5, 4, 8.5, 17, 33.5, 64, 94.5, 125]
    assert moves[-1] - moves[-2] <= MAX_MAJORITY_WAIT_S + 1


def test_a_permit_with_time_in_it_ends_the_patience() -> None:
    some = gateways()
    some.answered(NO_MAJORITY, 0)
    some.moved()
    assert not some.answered(NO_MAJORITY, 0.1)
    some.answered(NONE, 0.2)
    assert some.answered(NO_MAJORITY, 0.3)


def test_with_one_gateway_there_is_nowhere_to_go() -> None:
    assert not gateways("a").answered(NO_MAJORITY, 0)


@pytest.mark.parametrize("denial", [NONE, STOPPED, PermitDenial.OLD_SESSION])
def test_other_answers_are_no_reason_to_leave(denial: PermitDenial) -> None:
    assert not gateways().answered(denial, 0)

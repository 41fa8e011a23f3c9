"""The live state: the newest reading, last known values with their ages, nothing turned back by repeats or history."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.live import CONNECTED, LOST, Change, Live, Sample
from fleet_service.live_text import UnreadableState, from_text, to_text

NAMES = ("speed_kph", "payload_tons", "fuel_level_percent")


def sample(boot_epoch: int = 1, sequence: int = 1, **quantities: float) -> Sample:
    event_ns = boot_epoch * 1000 + sequence
    return Sample("V-1", boot_epoch, sequence, event_ns, event_ns, 4, 0, 1, quantities)


def change(boot_epoch: int = 1, session: int = 1, number: int = 1, connectivity: int = CONNECTED) -> Change:
    event_ns = boot_epoch * 1000 + session * 10 + number
    return Change("V-1", (boot_epoch, session, number), event_ns, 1, 2, 2, connectivity, event_ns)


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    """Each identity once: a reading never comes with two contents."""
    identities = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6)), unique=True, max_size=10))
    values = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 100))
    return [sample(epoch, sequence, **draw(values)) for epoch, sequence in identities]


def after(taken: list[Sample]) -> Live:
    live = Live()
    for one in taken:
        live = live.with_sample(one)
    return live


@given(samples(), st.randoms())
def test_order_and_repeats_make_no_difference(taken: list[Sample], random: object) -> None:
    mixed = taken + taken[:3]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert after(mixed) == after(taken)


@given(samples())
def test_each_quantity_is_of_the_newest_reading_that_had_it(taken: list[Sample]) -> None:
    values = after(taken).values
    for name in NAMES:
        had = [one for one in taken if name in one.quantities]
        newest = max(had, key=lambda one: one.identity, default=None)
        assert values.get(name) == (newest and newest.known(name))


@given(samples(), samples())
def test_merging_two_states_is_taking_all_of_both(one: list[Sample], two: list[Sample]) -> None:
    contents = {item.identity: item for item in (*one, *two)}
    one, two = ([contents[item.identity] for item in items] for items in (one, two))
    assert after(one).merge(after(two)) == after(two).merge(after(one)) == after(one + two)


@given(samples(), samples())
def test_history_changes_nothing(live: list[Sample], history: list[Sample]) -> None:
    known = after(live)
    for old in history:
        assert known.with_sample(replace(old, backfilled=True)) is known


@given(samples(), st.integers(1, 3), st.integers(1, 5))
def test_the_text_holds_all_of_it(taken: list[Sample], session: int, number: int) -> None:
    live = after(taken).with_change(change(1, session, number))
    assert from_text(to_text(live)) == live
    assert from_text(to_text(live).encode()) == live


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "[0,null,{},null]", "[1,null,{}]", '[1,["V-1"],{},null]', "[1,5,5,5]"]
)
def test_a_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UnreadableState):
        from_text(text)


def test_a_repeat_is_the_same_object_so_that_nobody_is_told() -> None:
    live = Live().with_sample(sample(speed_kph=1.0)).with_change(change())
    assert live.with_sample(sample(speed_kph=1.0)) is live
    assert live.with_change(change()) is live
    assert live.merge(live) is live


def test_a_lost_value_keeps_its_age_and_a_new_one_takes_its_place() -> None:
    live = Live().with_sample(sample(1, 1, fuel_level_percent=50.0)).with_sample(sample(1, 2, speed_kph=3.0))
    second_ns = 1_000_000_000
    ages = live.ages_s(1001 + 5 * second_ns)
    assert ages["fuel_level_percent"] == 5.0
    assert ages["speed_kph"] == pytest.approx(5.0, abs=1e-6)
    live = live.with_sample(sample(1, 3, fuel_level_percent=49.0))
    assert live.values["fuel_level_percent"].value == 49.0
    assert live.ages_s(0)["fuel_level_percent"] == 0.0, "a clock that is behind makes no negative age"


@pytest.mark.parametrize(
    ("reading", "said", "status"),
    [
        (None, None, 0),
        (sample(1, 5), None, 4),
        (None, change(1), 1),
        (sample(1, 50), change(1, 1, 1), 4),
        (sample(1, 5), change(1, 1, 1), 1),
        (sample(1, 11), change(1, 1, 1), 1),
        (sample(2, 1), change(1, 9, 9), 4),
        (sample(1, 900), change(2, 1, 1), 1),
    ],
    ids=[
        "nothing",
        "reading",
        "change",
        "reading later",
        "change later",
        "same moment",
        "new boot",
        "new boot's change",
    ],
)
def test_the_status_is_of_whoever_speaks_of_the_later_moment(
    reading: Sample | None, said: Change | None, status: int
) -> None:
    assert Live(sample=reading, change=said).state[0] == status


def test_lost_of_an_older_session_is_no_news() -> None:
    live = Live().with_change(change(1, 2, 1))
    assert live.with_change(change(1, 1, 9, LOST)).connectivity == CONNECTED
    assert live.with_change(change(1, 2, 2, LOST)).connectivity == LOST
    assert live.with_change(change(2, 1, 1, LOST)).connectivity == LOST


def test_connected_since_counts_from_the_sessions_connection() -> None:
    live = Live().with_change(change(1, 1, 1)).with_change(change(1, 1, 2))
    assert live.change is not None
    assert live.change.since_ns == change(1, 1, 1).since_ns
    live = live.with_change(change(1, 2, 1))
    assert live.change is not None
    assert live.change.since_ns == change(1, 2, 1).since_ns

"""What is known of the fleet: who is entered when, who is forgotten, and what watchers and counts learn of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet_service.alerts import TAKEN_OUT, Alert
from fleet_service.fleet import Fleet
from fleet_service.live import Change, Sample
from fleet_service.registry import first_seen

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 1_000_000_000
FIRST, SECOND = "KOMATSU-930E-001", "KOMATSU-980E-002"


def sample(vehicle_id: str = FIRST, sequence: int = 1, *, received_ns: int = NOON_NS, status: int = 4) -> Sample:
    return Sample(vehicle_id, 1, sequence, received_ns, received_ns, status, 0, 1, {"speed_kph": 30.0})


def change(vehicle_id: str = FIRST, connectivity: int = 1, number: int = 1) -> Change:
    return Change(vehicle_id, (1, 1, number), NOON_NS, 4, 0, 1, connectivity, NOON_NS)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(lambda: NOON, max_vehicles=2)


@pytest.mark.parametrize(
    ("vehicle_id", "model", "manufacturer", "rated"),
    [
        (FIRST, "930E-5", "Komatsu", 290.0),
        (SECOND, "980E-5", "Komatsu", 369.0),
        ("REPLAY-TRUCK-001", "", "", None),
        ("KOMATSU-930", "", "", None),
    ],
)
def test_the_id_tells_what_a_new_vehicle_is(
    vehicle_id: str, model: str, manufacturer: str, rated: float | None
) -> None:
    entry = first_seen(vehicle_id, NOON)
    assert (entry.model, entry.manufacturer, entry.rated_payload_tons) == (model, manufacturer, rated)


@pytest.mark.parametrize("backfilled", [False, True])
def test_whoever_shows_itself_is_entered_once(fleet: Fleet, backfilled: bool) -> None:
    fleet.take_sample(replace(sample(), backfilled=backfilled))
    fleet.take_change(change())
    assert list(fleet.unregistered) == [FIRST]
    stored = replace(fleet.unregistered[FIRST], revision=1)
    fleet.put_entry(stored)
    fleet.take_sample(sample(sequence=2))
    assert fleet.unregistered == {}
    assert len(fleet) == 1


def test_whose_entry_is_renewed_is_told_once(fleet: Fleet) -> None:
    fleet.take_sample(sample())
    assert fleet.take_renewed() == set(), "nothing is stored yet"
    stored = fleet.unregistered[FIRST]
    fleet.put_entry(stored)
    assert (fleet.take_renewed(), fleet.take_renewed()) == ({FIRST}, set())
    fleet.put_entry(stored)
    assert fleet.take_renewed() == set(), "known already"
    fleet.put_entry(replace(stored, revision=2, delete_time=NOON))
    assert fleet.take_renewed() == {FIRST}


def test_one_that_was_deleted_and_forgotten_begins_anew_with_its_first_revision(fleet: Fleet) -> None:
    fleet.put_entry(replace(first_seen(FIRST, NOON), revision=7, delete_time=NOON))
    fleet.put_entry(first_seen(FIRST, NOON))
    assert len(fleet) == 0, "of before its deletion"
    fleet.put_entry(first_seen(FIRST, NOON + timedelta(days=90)))
    assert len(fleet) == 1


def test_what_the_store_says_of_a_new_vehicle_wins(fleet: Fleet) -> None:
    fleet.take_sample(sample())
    fleet.put_entry(replace(first_seen(FIRST, NOON), destination="Dump 3"))
    found = fleet.get(FIRST)
    assert found is not None
    assert found.entry.destination == "Dump 3"
    assert found.live.sample == sample()


def test_an_older_revision_changes_nothing(fleet: Fleet) -> None:
    newer = replace(first_seen(FIRST, NOON), revision=5)
    fleet.put_entry(newer)
    version = fleet.vehicle_changes.version
    fleet.put_entry(replace(newer, revision=4, model="old"))
    found = fleet.get(FIRST)
    assert found is not None
    assert found.entry == newer
    assert fleet.vehicle_changes.version == version


def test_a_deleted_vehicle_comes_back_by_what_is_later_alone(fleet: Fleet) -> None:
    fleet.take_sample(sample())
    fleet.put_entry(first_seen(FIRST, NOON))
    fleet.put_entry(replace(first_seen(FIRST, NOON), revision=2, delete_time=NOON))
    assert fleet.get(FIRST) is None
    assert fleet.live(FIRST) is None
    fleet.take_sample(sample(sequence=2, received_ns=NOON_NS))
    assert fleet.get(FIRST) is None, "it was on its way before the deletion"
    fleet.take_sample(sample(sequence=3, received_ns=NOON_NS + 1_000_000_000))
    found = fleet.get(FIRST)
    assert found is not None
    assert found.live.sample is not None
    assert found.live.sample.sequence == 3
    assert list(fleet.unregistered) == [FIRST]


def test_whoever_was_taken_out_is_told_with_the_time_until_it_comes_back(fleet: Fleet) -> None:
    fleet.take_sample(sample())
    assert fleet.deleted() == {}
    fleet.put_entry(replace(first_seen(FIRST, NOON), revision=2, delete_time=NOON))
    assert fleet.deleted() == {FIRST: NOON_NS}
    fleet.take_sample(sample(sequence=2, received_ns=NOON_NS + 1))
    assert fleet.deleted() == {}


def test_beyond_the_most_nobody_is_taken_and_that_is_counted(fleet: Fleet) -> None:
    for number in range(1, 5):
        fleet.take_sample(sample(f"KOMATSU-930E-00{number}"))
    assert len(fleet) == 2
    assert fleet.turned_away == 2


@pytest.mark.parametrize(
    ("taken", "counts_may_change"),
    [(sample(sequence=2), False), (sample(sequence=2, received_ns=NOON_NS + 9, status=1), True), (sample(), False)],
    ids=["the same status", "another status", "a repeat"],
)
def test_the_counts_are_made_again_only_where_they_may_have_changed(
    fleet: Fleet, taken: Sample, counts_may_change: bool
) -> None:
    fleet.take_change(change())
    fleet.take_sample(sample())
    version = fleet.statistics_version
    fleet.take_sample(taken)
    assert (fleet.statistics_version != version) == counts_may_change


def test_watchers_learn_of_news_and_not_of_repeats(fleet: Fleet) -> None:
    fleet.take_sample(sample())
    seen = fleet.vehicle_changes.version
    fleet.take_sample(sample())
    fleet.take_sample(replace(sample(sequence=9), backfilled=True))
    assert fleet.vehicle_changes.since(seen) == []
    fleet.take_sample(sample(sequence=2))
    assert fleet.vehicle_changes.since(seen) == [FIRST]


RAISED, ESCALATED, CLEARED = 1, 2, 3
LINK_LOST = Alert("a", FIRST, "LINK_LOST", 2, RAISED, "no stream", None, None, 1, 7, NOON_NS - 9, NOON_NS - 9, False)
DELETED = replace(first_seen(FIRST, NOON - timedelta(days=1)), revision=2, delete_time=NOON)
SHUT = replace(LINK_LOST, state=CLEARED, event_ns=NOON_NS, message=TAKEN_OUT)


@pytest.fixture
def lost(fleet: Fleet) -> Fleet:
    """With a vehicle that is lost, as each one is that can be taken out of the registry."""
    fleet.put_entry(replace(DELETED, revision=1, delete_time=None))
    fleet.take_alert(LINK_LOST)
    return fleet


def open_alerts(fleet: Fleet) -> int:
    assert fleet.alerts.open_total == len(list(fleet.alerts.open())) == fleet.alerts.open_count(FIRST)
    return fleet.alerts.open_total


def test_the_open_alerts_of_a_vehicle_are_closed_when_it_is_taken_out(lost: Fleet) -> None:
    other, later = replace(LINK_LOST, alert_id="b", vehicle_id=SECOND), replace(LINK_LOST, event_ns=NOON_NS + 1)
    lost.take_alert(other)
    lost.take_alert(replace(later, alert_id="c"))
    seen = lost.alert_changes.version
    lost.put_entry(DELETED)
    assert lost.alerts.get("a") == SHUT
    assert lost.alert_changes.since(seen) == ["a"], "watchers are told, and of nothing else"
    assert [alert.alert_id for alert in lost.alerts.open()] == ["b", "c"]
    assert lost.statistics(NOON_NS, stale=False).open_alerts == 2


@pytest.mark.parametrize("told", [LINK_LOST, replace(LINK_LOST, state=ESCALATED, sequence=8)], ids=["raised", "worse"])
def test_what_is_told_again_of_a_vehicle_that_was_taken_out_opens_nothing(lost: Fleet, told: Alert) -> None:
    lost.put_entry(DELETED)
    assert all(kept.cleared for kept in lost.take_alert(told))
    assert open_alerts(lost) == 0


def test_after_a_restart_alerts_from_before_the_deletion_are_closed(fleet: Fleet) -> None:
    """Stored while the vehicle was there, or read again from the beginning of the topic."""
    fleet.put_entry(DELETED)
    fleet.acknowledged(LINK_LOST)
    assert fleet.alerts.get("a") == SHUT
    again = replace(LINK_LOST, alert_id="b", event_ns=NOON_NS)
    assert fleet.take_alert(again) == [replace(SHUT, alert_id="b")], "and kept so"
    assert open_alerts(fleet) == 0


def test_what_comes_after_the_deletion_is_of_a_vehicle_that_is_back(lost: Fleet) -> None:
    lost.put_entry(DELETED)
    back = replace(LINK_LOST, alert_id="b", raised_ns=NOON_NS + 1, event_ns=NOON_NS + 1)
    assert lost.take_alert(back) == [back]
    lost.take_sample(sample(sequence=2, received_ns=NOON_NS + 1))
    found = lost.get(FIRST)
    assert found is not None
    assert found.open_alerts == open_alerts(lost) == 1, "and the one from before stays closed"


def test_the_step_that_ends_such_an_alert_later_still_counts(lost: Fleet) -> None:
    lost.put_entry(DELETED)
    cleared = replace(LINK_LOST, state=CLEARED, sequence=9, event_ns=NOON_NS + 5, message="it speaks again")
    assert lost.take_alert(cleared) == [cleared]
    assert lost.alerts.get("a") == cleared

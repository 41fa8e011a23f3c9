"""Changes of status on their way to Kafka, and the registry of sessions."""

from haul.telemetry.v1.telemetry_pb2 import StatusChange
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.effects import Changed, Close, Code
from ingest_gateway.hello import SessionKey
from ingest_gateway.registry import Registry
from ingest_gateway.session import Session
from ingest_gateway.status_outbox import StatusOutbox
from tests.unit.ingest_gateway.builders import EPOCH, OTHER, VEHICLE, at, hello, new_session, open_session


def change(number: int, vehicle_id: str = VEHICLE) -> StatusChange:
    return StatusChange(change_id=f"{vehicle_id}:{number}", vehicle_id=vehicle_id)


def ids(changes: list[StatusChange]) -> list[str]:
    return [each.change_id for each in changes]


def test_one_is_under_way_for_each_vehicle_and_the_next_one_waits() -> None:
    outbox = StatusOutbox()
    for each in (change(1), change(2), change(1, OTHER)):
        outbox.put(each)
    assert ids(outbox.take(10)) == [f"{VEHICLE}:1", f"{OTHER}:1"]
    assert outbox.take(10) == []
    outbox.settled(VEHICLE, delivered=True)
    assert ids(outbox.take(10)) == [f"{VEHICLE}:2"]


def test_what_was_not_delivered_goes_again_before_what_came_after() -> None:
    outbox = StatusOutbox()
    outbox.put(change(1))
    outbox.put(change(2))
    outbox.take(1)
    outbox.settled(VEHICLE, delivered=False)
    assert ids(outbox.take(1)) == [f"{VEHICLE}:1"]


def test_beyond_the_limit_the_newest_takes_the_place_of_the_one_before_and_is_counted() -> None:
    outbox = StatusOutbox(capacity=2)
    for number in range(5):
        outbox.put(change(number))
    assert outbox.merged == 3
    found = []
    while taken := outbox.take(1):
        found += ids(taken)
        outbox.settled(VEHICLE, delivered=True)
    assert found == [f"{VEHICLE}:0", f"{VEHICLE}:4"]


def test_no_room_takes_none() -> None:
    outbox = StatusOutbox()
    outbox.put(change(1))
    assert outbox.take(0) == []
    assert outbox.take(-5) == []
    assert outbox.waiting == 1


@given(st.lists(st.sampled_from(["put", "take", "deliver", "fail"]), max_size=60))
def test_delivered_changes_are_in_order_and_the_last_one_always_comes(steps: list[str]) -> None:
    outbox, number, flying, delivered = StatusOutbox(capacity=3), 0, list[str](), list[str]()

    def settle(ok: bool) -> None:
        if flying:
            if ok:
                delivered.append(flying[0])
            flying.clear()
            outbox.settled(VEHICLE, delivered=ok)

    for step in [*steps, *["deliver", "take"] * 10, "deliver"]:
        match step:
            case "put":
                number += 1
                outbox.put(change(number))
            case "take":
                flying += ids(outbox.take(1))
            case _:
                settle(step == "deliver")
    numbers = [int(each.rpartition(":")[2]) for each in delivered]
    assert numbers == sorted(set(numbers))
    assert (numbers[-1] if numbers else 0) == number
    assert len(numbers) + outbox.merged == number


def session(boot_epoch: int = EPOCH, connect_count: int = 1) -> Session:
    return open_session(boot_epoch=boot_epoch, connect_count=connect_count)


def test_the_newest_session_wins_whatever_comes_first() -> None:
    registry, older, newer = Registry(), session(), session(connect_count=2)
    assert registry.open(older) is None
    assert registry.open(newer) is older
    assert (older.superseded, newer.superseded) == (True, False)
    late = session()
    assert registry.open(late) is late
    assert late.superseded
    assert registry.get(VEHICLE) is newer


def test_a_second_stream_with_the_same_count_is_not_newer() -> None:
    registry, first, twin = Registry(), session(), session()
    registry.open(first)
    assert registry.open(twin) is twin
    assert registry.get(VEHICLE) is first


def test_the_end_of_an_older_session_leaves_the_newer_one() -> None:
    registry, older, newer = Registry(), session(), session(connect_count=2)
    registry.open(older)
    registry.open(newer)
    assert not registry.close(older)
    assert registry.close(newer)
    assert len(registry) == 0


def test_word_of_a_newer_session_elsewhere_ends_this_one_up_to_the_named_key() -> None:
    registry, here = Registry(), session(connect_count=5)
    registry.open(here)
    assert registry.superseded(VEHICLE, SessionKey(EPOCH, 4)) is None
    assert not here.superseded
    assert registry.superseded(VEHICLE, SessionKey(EPOCH, 5)) is here
    assert here.superseded
    assert registry.superseded(OTHER, SessionKey(EPOCH, 5)) is None


def test_every_change_says_how_many_readings_the_vehicle_had_made_when_its_session_began() -> None:
    """So whoever reads the topic knows of readings that never came, also where none comes after them."""
    session = new_session()
    effects = session.feed(hello(last_sequence=40), at(0.0)) + session.close(Close(Code.OK, "GONE", "gone"), at(1.0))
    assert [effect.change.last_sequence for effect in effects if isinstance(effect, Changed)] == [40, 40]

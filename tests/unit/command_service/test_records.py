"""The journal's records: whatever goes in comes out, and whatever is changed, cut or moved shows."""

from hashlib import sha256

import pytest
from haul.command.v1 import event_pb2

from command_service.events import (
    Event,
    OrderRecorded,
    Outcome,
    Record,
    Refused,
    ReleaseApproved,
    ReleaseExpired,
    ReleaseRequested,
    StageReached,
    StopIssued,
)
from command_service.orders import AWAY
from command_service.progress import Stage
from command_service.records import MAX_OUTCOMES, BrokenChain, Head, in_parts, record_from, seal, unseal
from pitwall.domain.drill import DrillReaction, DrillVerdict
from pitwall.domain.order import LinkLossDrill, Order, OrderOutcome, OrderResult, Resume, SetStatus, StopDrill
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.command_service.samples import NS, named, release, stop

ORDER = Order("q", SetStatus(VehicleStatus.IDLE), 5.0, "somebody")
EVENTS: list[Event] = [
    StopIssued(stop(scope=named("TRUCK-1"), own="TRUCK-1")),
    StageReached("s", Stage.RECEIVED, NS + 7, True),
    StageReached("s", Stage.ISSUED, NS),
    ReleaseRequested(release("r", "s t", "TRUCK-1")),
    ReleaseApproved(release("r", "s", approved_by="boss")),
    ReleaseExpired("019aa8f0-0000-7000-8000-000000000001"),
    OrderRecorded(ORDER, NS, (Outcome("A", AWAY, NS), Outcome("B", None))),
    OrderRecorded(
        Order("q", StopDrill("019aa8f0-0000-7000-8000-000000000001", "monthly"), 5.0, "somebody"),
        NS,
        (
            Outcome(
                "A",
                OrderOutcome(
                    OrderResult.EXECUTED,
                    reaction=DrillReaction(36.0, 0.0625, 4.5, 2.125, 6.125, DrillVerdict.PASSED),
                ),
                NS,
            ),
        ),
    ),
    OrderRecorded(
        Order("q", LinkLossDrill(), 5.0, "somebody"),
        NS,
        (Outcome("A", OrderOutcome(OrderResult.EXECUTED, "NOT_MOVING", reaction=DrillReaction(0.0)), NS),),
    ),
    Refused("haul.command.v1.CommandService/SendOrder", "ROLE_MISSING", "may not"),
]


def record(event: Event, actor: str = "somebody") -> Record:
    return Record(NS + 123, actor, event, "A")


def chain(count: int = 3) -> list[bytes]:
    head, raws = Head(), []
    for number in range(count):
        raw, head = seal(record(EVENTS[1], f"person {number}"), "c1", head)
        raws.append(raw)
    return raws


def read(raws: list[bytes]) -> Head:
    head = Head()
    for raw in raws:
        _, head = unseal(raw, head)
    return head


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_goes_in_comes_out(event: Event) -> None:
    raw, head = seal(record(event), "c1", Head())
    message, again = unseal(raw, Head())
    assert again == head
    assert record_from(message) == record(event)
    assert (message.command_service, message.journal_sequence, message.previous_hash) == ("c1", 1, b"")


def test_the_hash_is_that_of_the_message_with_the_field_empty() -> None:
    """As CommandEvent says, so that anybody can check it with nothing but the contract."""
    raw, head = seal(record(EVENTS[0]), "c1", Head())
    message = event_pb2.CommandEvent.FromString(raw)
    assert message.record_hash == head.record_hash
    message.record_hash = b""
    assert sha256(message.SerializeToString(deterministic=True)).digest() == head.record_hash


def test_each_record_carries_the_hash_of_the_one_before() -> None:
    first, second, _ = (event_pb2.CommandEvent.FromString(raw) for raw in chain())
    assert second.previous_hash == first.record_hash


def test_an_untouched_chain_reads_to_its_end() -> None:
    assert read(chain()).sequence == 3


def test_any_changed_byte_shows() -> None:
    raws = chain(2)
    for index in range(len(raws[1])):
        changed = bytearray(raws[1])
        changed[index] ^= 1
        with pytest.raises(BrokenChain):
            read([raws[0], bytes(changed)])


@pytest.mark.parametrize(
    ("order", "words"), [([0, 2], "record 2 is missing"), ([1], "record 1 is missing"), ([0, 0], "record 2 is missing")]
)
def test_a_record_that_is_cut_out_or_moved_shows(order: list[int], words: str) -> None:
    raws = chain()
    with pytest.raises(BrokenChain, match=words):
        read([raws[index] for index in order])


def test_a_record_of_another_journal_in_its_place_shows() -> None:
    _, other = seal(record(EVENTS[0]), "c1", Head())
    foreign, _ = seal(record(EVENTS[1]), "c1", other)
    with pytest.raises(BrokenChain, match="does not follow"):
        read([chain()[0], foreign])


def test_what_is_too_short_for_a_record_is_none() -> None:
    with pytest.raises(BrokenChain):
        read([b"short"])


def test_an_event_of_a_newer_contract_is_no_error() -> None:
    assert record_from(event_pb2.CommandEvent(command_service="c1")) is None


def test_an_order_to_very_many_goes_into_several_records() -> None:
    outcomes = tuple(Outcome(f"TRUCK-{number}", None) for number in range(2 * MAX_OUTCOMES + 1))
    whole = OrderRecorded(Order("q", Resume()), NS, outcomes)
    parts = list(in_parts(whole))
    assert [len(part.outcomes) for part in parts] == [MAX_OUTCOMES, MAX_OUTCOMES, 1]
    assert tuple(outcome for part in parts for outcome in part.outcomes) == outcomes

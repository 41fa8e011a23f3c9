"""The order book: one outcome a target, the first word stays, not knowing gives way to knowing, memory is bounded."""

import pytest

from command_service.events import OrderRecorded, Outcome
from command_service.orders import (
    ANSWER_MARGIN_S,
    AWAY,
    LINK_BROKE,
    NO_ANSWER,
    STRANGER,
    OrderBook,
    TooManyOrders,
)
from pitwall.domain.drill import DrillReaction
from pitwall.domain.order import (
    REQUEST_MEMORY_S,
    MotionEtag,
    Order,
    OrderOutcome,
    OrderResult,
    Resume,
    StartRoute,
)
from tests.unit.command_service.samples import NS

ETAG = MotionEtag(7, 1, 1, 5)
EXECUTED = OrderOutcome(OrderResult.EXECUTED)
REJECTED = OrderOutcome(OrderResult.REJECTED, "NO_HOLD")
MEASURED = OrderOutcome(OrderResult.EXECUTED, reaction=DrillReaction(30.0, 2.0, 6.0))
DAY_NS = round(REQUEST_MEMORY_S * 1e9)


def order(request_id: str = "q") -> Order:
    return Order(request_id, Resume(), 5.0, "somebody")


def sent(*vehicle_ids: str, **ended: OrderOutcome) -> OrderBook:
    book = OrderBook()
    book.send(order(), dict.fromkeys(vehicle_ids, ETAG), ended, 100.0, NS)
    return book


def results(book: OrderBook, request_id: str = "q") -> dict[str, OrderOutcome | None]:
    entry = book.get(request_id)
    assert entry is not None
    return {vehicle_id: outcome.outcome for vehicle_id, outcome in entry.outcomes.items()}


def test_it_is_done_when_every_target_has_an_outcome() -> None:
    book = sent("A", "B", "C", C=AWAY)
    entry = book.get("q")
    assert entry is not None
    assert (entry.waiting, entry.done, book.under_way) == ({"A", "B"}, False, 1)
    book.answered("q", "A", EXECUTED, NS)
    assert not entry.done
    book.answered("q", "B", REJECTED, NS)
    assert (entry.done, book.under_way) == (True, 0)
    assert results(book) == {"A": EXECUTED, "B": REJECTED, "C": AWAY}


def test_nobody_there_is_done_at_once() -> None:
    book = sent("A", "B", A=AWAY, B=STRANGER)
    assert book.under_way == 0


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (EXECUTED, REJECTED, EXECUTED),
        (REJECTED, EXECUTED, REJECTED),
        (LINK_BROKE, EXECUTED, EXECUTED),
        (NO_ANSWER, REJECTED, REJECTED),
        (LINK_BROKE, NO_ANSWER, LINK_BROKE),
        (EXECUTED, LINK_BROKE, EXECUTED),
    ],
)
def test_the_first_word_stays_but_for_not_knowing(
    first: OrderOutcome, second: OrderOutcome, kept: OrderOutcome
) -> None:
    book = sent("A")
    assert book.answered("q", "A", first, NS) is not None
    assert (book.answered("q", "A", second, NS) is not None) is (kept is second)
    assert results(book) == {"A": kept}


def test_an_outcome_for_nobodys_order_is_nothing() -> None:
    book = sent("A")
    assert book.answered("other", "A", EXECUTED, NS) is None
    assert book.answered("q", "B", EXECUTED, NS) is None


def test_a_broken_link_ends_what_is_on_its_way_there() -> None:
    book = sent("A", "B")
    (recorded,) = book.broke("A", NS + 1)
    assert recorded.outcomes == (Outcome("A", LINK_BROKE, NS + 1),)
    assert results(book) == {"A": LINK_BROKE, "B": None}
    assert book.broke("A", NS + 2) == []


def test_waiting_ends_after_its_time_and_not_before() -> None:
    book = sent("A")
    assert book.tick(105.0 + ANSWER_MARGIN_S - 0.001, NS) == []
    assert len(book.tick(105.0 + ANSWER_MARGIN_S, NS)) == 1
    assert results(book) == {"A": NO_ANSWER}
    assert book.tick(999.0, NS) == []


def test_so_many_are_on_their_way_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.orders.MAX_UNDER_WAY", 1)
    book = sent("A")
    with pytest.raises(TooManyOrders):
        book.send(order("q2"), {"B": ETAG}, {}, 100.0, NS)
    book.answered("q", "A", EXECUTED, NS)
    book.send(order("q2"), {"B": ETAG}, {}, 100.0, NS)


# Memory


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_ORDERS", 2), ("MAX_OUTCOMES", 4)], ids=["orders", "outcomes of all of them"]
)
def test_the_oldest_ones_go_first(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(f"command_service.orders.{limit}", value)
    book = OrderBook()
    for number in range(4):
        book.send(order(f"q{number}"), {"A": ETAG, "B": ETAG}, {"A": AWAY, "B": AWAY}, 100.0, NS + number)
    assert [entry.order.request_id for entry in book.entries()] == ["q2", "q3"]


def test_one_on_its_way_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.orders.MAX_ORDERS", 1)
    book = sent("A")
    for number in range(3):
        book.send(order(f"q{number}"), {"B": ETAG}, {"B": AWAY}, 100.0, NS)
    assert book.get("q") is not None
    assert book.get("q2") is not None
    assert book.get("q1") is None


def test_a_days_worth_is_remembered() -> None:
    book = sent("A", A=AWAY)
    book.send(order("later"), {"A": ETAG}, {"A": AWAY}, 0.0, NS + DAY_NS)
    assert book.get("q") is not None
    book.send(order("latest"), {"A": ETAG}, {"A": AWAY}, 0.0, NS + DAY_NS + 1)
    assert book.get("q") is None


def test_a_repeat_is_the_same_when_it_asks_for_the_same() -> None:
    entry = sent("A").get("q")
    assert entry is not None
    assert entry.same_as(order(), {"A": MotionEtag(7, 1, 1, 99)})
    assert not entry.same_as(order(), {"B": ETAG})
    assert not entry.same_as(Order("q", StartRoute("x")), {"A": ETAG})


def test_restored_orders_answer_as_before_and_what_was_on_its_way_is_unknown() -> None:
    book = OrderBook()
    book.restore(OrderRecorded(order(), NS, (Outcome("A", None), Outcome("B", None), Outcome("C", AWAY, NS))), NS)
    book.restore(OrderRecorded(order(), NS, (Outcome("B", EXECUTED, NS + 1),)), NS)
    assert results(book) == {"A": LINK_BROKE, "B": EXECUTED, "C": AWAY}
    assert book.under_way == 0
    entry = book.get("q")
    assert entry is not None
    assert entry.done
    assert book.answered("q", "A", EXECUTED, NS) is not None, "its own word is better"


# What peers were told


@pytest.mark.parametrize(
    ("known", "taken"), [(None, True), (EXECUTED, True), (LINK_BROKE, True), (MEASURED, False), (REJECTED, False)]
)
def test_what_was_measured_in_a_drill_takes_the_place_of_executed_once(known: OrderOutcome | None, taken: bool) -> None:
    book = sent("A")
    if known is not None:
        book.answered("q", "A", known, NS)
    record = book.answered("q", "A", MEASURED, NS + 1)
    assert (record is not None) is taken
    assert results(book) == {"A": MEASURED if taken else known}
    assert book.answered("q", "A", EXECUTED, NS + 2) is None


def test_a_peer_tells_what_was_measured_too() -> None:
    book = sent("A")
    book.answered("q", "A", EXECUTED, NS)
    book.learn(told(Outcome("A", MEASURED, NS + 1)), NS)
    assert results(book) == {"A": MEASURED}


def told(*outcomes: Outcome) -> OrderRecorded:
    return OrderRecorded(order(), NS, outcomes)


@pytest.mark.parametrize("known_before", [True, False], ids=["known here", "first heard of from the peer"])
def test_what_a_vehicle_has_measured_is_recorded_here_too_where_a_peer_was_faster_to_tell(known_before: bool) -> None:
    book = OrderBook()
    if known_before:
        book.learn(told(Outcome("A", None)), NS)
    book.learn(told(Outcome("A", MEASURED, NS + 1)), NS)
    book.learn(told(Outcome("A", MEASURED, NS + 1)), NS)
    recorded = book.answered("q", "A", MEASURED, NS + 2)
    assert recorded is not None
    assert recorded.outcomes == (Outcome("A", MEASURED, NS + 2),)
    assert book.answered("q", "A", MEASURED, NS + 3) is None, "once"
    book.learn(told(Outcome("A", MEASURED, NS + 1)), NS)
    assert book.answered("q", "A", MEASURED, NS + 3) is None, "whoever has it is told nothing new by a peer"


def test_a_repeat_is_answered_as_the_peer_that_had_it_first_has_answered() -> None:
    book = OrderBook()
    book.learn(told(Outcome("A", None), Outcome("B", AWAY, NS), Outcome("C", STRANGER, NS)), NS)
    assert results(book) == {"A": LINK_BROKE, "B": AWAY, "C": STRANGER}, "A's is not known yet, so it is not known"
    book.learn(told(Outcome("A", EXECUTED, NS + 1)), NS)
    assert results(book) == {"A": EXECUTED, "B": AWAY, "C": STRANGER}
    assert book.under_way == 0
    entry = book.get("q")
    assert entry is not None
    assert entry.same_as(order(), dict.fromkeys("ABC", ETAG))


@pytest.mark.parametrize(
    ("word", "taken"),
    [
        (None, False),
        (EXECUTED, True),
        (REJECTED, True),
        (OrderOutcome(OrderResult.EXPIRED, "EXPIRED"), True),
        (AWAY, False),
        (STRANGER, False),
        (LINK_BROKE, False),
        (NO_ANSWER, False),
    ],
    ids=lambda value: value.reason or value.result.name if isinstance(value, OrderOutcome) else str(value),
)
@pytest.mark.parametrize("broke", [False, True], ids=["on its way", "link broke"])
def test_of_an_order_that_was_sent_from_here_only_the_vehicles_own_word_counts(
    word: OrderOutcome | None, taken: bool, broke: bool
) -> None:
    """A peer that has no link to the vehicle says UNAVAILABLE, nothing was sent. From here it was."""
    book = sent("A")
    if broke:
        book.broke("A", NS)
    before = results(book)
    book.learn(told(Outcome("A", word, NS)), NS)
    assert results(book) == ({"A": word} if taken else before)
    assert book.under_way == (0 if taken or broke else 1)


def test_what_a_peer_says_of_a_vehicle_that_the_order_here_does_not_name_is_nothing() -> None:
    book = sent("A")
    book.learn(told(Outcome("B", EXECUTED, NS)), NS)
    assert results(book) == {"A": None}

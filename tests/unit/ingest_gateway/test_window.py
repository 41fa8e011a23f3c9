"""Memory stays flat: what does not fit is left with the vehicle."""

from ingest_gateway.acks import AckTracker
from ingest_gateway.effects import Code
from ingest_gateway.limits import MAX_EPOCHS_PER_VEHICLE, MAX_LOSSES_IN_FLIGHT, THROTTLE_S
from ingest_gateway.window import ReadingWindow

MOST = 100


def window(acks: AckTracker | None = None, room: int = 10**6) -> ReadingWindow:
    return ReadingWindow(MOST, acks or AckTracker(), lambda count: count <= room)


def in_flight(count: int) -> AckTracker:
    acks = AckTracker()
    acks.take(1, 1, count)
    return acks


def test_a_full_window_is_taken_and_one_more_is_not() -> None:
    acks = AckTracker()
    asked = window(acks)
    assert asked.ask(1, MOST, 0.0).take
    acks.take(1, 1, MOST)
    verdict = asked.ask(1, 1, 0.0)
    assert not verdict.take
    assert (verdict.throttle_s, verdict.reason) == (THROTTLE_S, "UNACKED_READINGS")


def test_what_is_lent_comes_on_top_and_is_forgiven_too() -> None:
    acks = AckTracker()
    asked = window(acks)
    asked.lend(2 * MOST)
    assert asked.size == 3 * MOST
    assert asked.ask(1, 3 * MOST, 0.0).take
    acks.take(1, 1, 3 * MOST)
    assert asked.ask(1, 1, 0.0).throttle_s
    assert asked.ask(1, 3 * MOST - 1, 0.1).close is None
    assert asked.ask(1, 1, 0.2).close is not None


def test_a_loan_that_has_ended_is_not_taken_any_more() -> None:
    acks = in_flight(MOST)
    asked = ReadingWindow(MOST, acks, lambda _: True)
    asked.lend(MOST)
    assert asked.ask(1, 1, 0.0).take
    asked.lend(0)
    assert not asked.ask(1, 1, 0.0).take


def test_what_is_on_its_way_takes_no_more_room_when_it_is_offered_again() -> None:
    asked = window(in_flight(MOST), room=0)
    assert asked.ask(1, MOST, 0.0, repeated=MOST).take
    assert not asked.ask(1, MOST, 0.0, repeated=MOST - 1).take


def test_one_that_does_not_read_its_acks_is_asked_to_wait_until_it_has() -> None:
    acks = AckTracker()
    asked = window(acks)
    for odd in (range(1, 2 * MOST, 2), [2 * MOST + 1]):
        assert asked.ask(1, 1, 0.0).take
        for sequence in odd:
            acks.take(1, sequence, sequence)
        acks.arrived(1, odd)
    verdict = asked.ask(1, 1, 0.0)
    assert (verdict.throttle_s, verdict.reason) == (THROTTLE_S, "UNACKED_READINGS")
    assert acks.next_ack() is not None
    assert asked.ask(1, 1, THROTTLE_S).take


def test_readings_of_too_many_boot_epochs_wait_until_one_is_acknowledged() -> None:
    acks = AckTracker()
    asked = window(acks)
    for epoch in range(1, MAX_EPOCHS_PER_VEHICLE + 1):
        assert asked.ask(epoch, 1, 0.0).take
        acks.take(epoch, 1, 1)
    assert asked.ask(1, 1, 0.0).take
    assert asked.ask(MAX_EPOCHS_PER_VEHICLE + 1, 1, 0.0).reason == "UNACKED_READINGS"
    acks.arrived(1, [1])
    assert acks.next_ack() is not None
    assert asked.ask(MAX_EPOCHS_PER_VEHICLE + 1, 1, THROTTLE_S).take


def test_so_many_losses_are_taken_at_a_time_and_the_next_one_when_one_has_arrived() -> None:
    acks = AckTracker()
    asked = window(acks)
    for number in range(1, MAX_LOSSES_IN_FLIGHT + 1):
        assert asked.takes_loss(1)
        acks.lose(1, number, number)
    assert not asked.takes_loss(1)
    acks.loss_failed(1, 1, 1)
    assert asked.takes_loss(1)
    acks.lose(1, 1, 1)
    acks.declared_lost(1, 2, 2)
    assert asked.takes_loss(1)


def test_a_loss_is_taken_where_a_reading_would_be() -> None:
    assert not window(room=0).takes_loss(1)
    acks = AckTracker()
    for epoch in range(1, MAX_EPOCHS_PER_VEHICLE + 1):
        acks.take(epoch, 1, 1)
    assert window(acks).takes_loss(1)
    assert not window(acks).takes_loss(MAX_EPOCHS_PER_VEHICLE + 1)


def test_losses_of_one_that_does_not_read_its_acks_are_not_taken() -> None:
    acks = AckTracker()
    asked = window(acks)
    for number in range(MOST + 1):
        assert asked.takes_loss(1)
        acks.lose(1, 2 * number + 1, 2 * number + 1)
        acks.declared_lost(1, 2 * number + 1, 2 * number + 1)
    assert not asked.takes_loss(1)


def test_a_full_backlog_asks_to_wait() -> None:
    verdict = window(room=5).ask(1, 6, 0.0)
    assert (verdict.take, verdict.reason) == (False, "KAFKA_BACKLOG")


def test_it_is_asked_once_a_while_and_taken_again_afterwards() -> None:
    acks = in_flight(MOST)
    asked = ReadingWindow(MOST, acks, lambda _: True)
    assert asked.ask(1, 1, 0.0).throttle_s
    assert asked.ask(1, 1, 0.1).throttle_s == 0
    acks.arrived(1, range(1, MOST + 1))
    assert not asked.ask(1, 1, THROTTLE_S * 0.99).take
    assert asked.ask(1, 1, THROTTLE_S).take


def test_what_was_under_way_is_forgiven_and_what_comes_after_is_not() -> None:
    asked = window(room=0)
    assert asked.ask(1, MOST - 1, 0.0).close is None
    assert asked.ask(1, 1, 0.1).close is None
    close = asked.ask(1, 1, 0.2).close
    assert close is not None
    assert (close.code, close.reason) == (Code.RESOURCE_EXHAUSTED, "THROTTLE_IGNORED")


def test_a_pause_is_asked_for_once_a_while_and_nothing_is_taken_in_it() -> None:
    asked = window()
    assert [asked.pause(0.0), asked.pause(0.5)] == [THROTTLE_S, 0.0]
    assert not asked.ask(1, 1, 0.9).take
    assert asked.ask(1, 1, THROTTLE_S).take
    assert asked.pause(THROTTLE_S) == THROTTLE_S


def test_one_that_waits_as_asked_is_never_closed_however_long_kafka_is_away() -> None:
    asked = window(room=0)
    verdicts = [asked.ask(1, MOST, n * THROTTLE_S) for n in range(600)]
    assert all(verdict.close is None and verdict.throttle_s for verdict in verdicts)

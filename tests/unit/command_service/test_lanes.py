"""What a gateway is owed: the set ahead of everything, only the newest beat, and bounds in every lane."""

import pytest

from command_service import lanes
from command_service.lanes import CloseFrame, Frame, Lanes, LeaseFrame, OrderFrame, SetFrame, in_chunks
from command_service.registry import Session
from pitwall.domain.order import MotionEtag, Order, Resume
from pitwall.domain.stop_set import SetDelta
from pitwall.wire import set_to_proto
from tests.unit.command_service.samples import named, release, stop

WHOLE, NEWS = SetDelta((stop("whole"),)), SetDelta((stop("news"),))
ORDER, ETAGS = Order("q", Resume()), {"A": MotionEtag(7, 1, 1, 5)}


def drained(lanes: Lanes) -> list[Frame]:
    frames = []
    while (frame := lanes.next()) is not None:
        frames.append(frame)
    return frames


def test_the_set_goes_first_whatever_else_waits() -> None:
    lanes = Lanes(WHOLE)
    lanes.close("A", Session(7, 1))
    lanes.order(ORDER, ETAGS)
    lanes.beat(3)
    lanes.push(NEWS)
    assert drained(lanes) == [
        SetFrame(WHOLE, 1),
        SetFrame(NEWS, 2),
        LeaseFrame(3),
        OrderFrame(ORDER, ETAGS),
        CloseFrame("A", Session(7, 1)),
    ]


def test_what_the_gateway_has_told_of_itself_goes_no_more_but_the_whole_set_goes() -> None:
    lanes = Lanes(WHOLE)
    lanes.push(NEWS)
    lanes.push(SetDelta((stop("other"),), (release("r", "news"),)))
    lanes.knows(SetDelta((stop("whole"), stop("news"), stop("other"))))
    assert drained(lanes) == [SetFrame(WHOLE, 1), SetFrame(SetDelta((), (release("r", "news"),)), 2)]


def test_an_empty_set_is_sent_all_the_same() -> None:
    assert drained(Lanes(SetDelta())) == [SetFrame(SetDelta(), 1)]


def test_it_is_exchanged_when_the_gateway_says_so_of_what_was_sent() -> None:
    lanes = Lanes(WHOLE)
    lanes.merged(1)
    assert not lanes.exchanged, "nothing has been sent yet"
    lanes.next()
    lanes.merged(2)
    assert not lanes.exchanged, "2 has never been sent"
    lanes.merged(1)
    assert lanes.exchanged


def test_a_set_in_several_frames_is_exchanged_with_the_last_of_them() -> None:
    many = SetDelta(tuple(stop(f"s{number}", named(*_names(10_000))) for number in range(3)))
    lanes = Lanes(many)
    lanes.push(NEWS)
    frames = drained(lanes)
    opening = len(frames) - 1
    assert opening > 1
    for exchange_id in range(1, opening):
        lanes.merged(exchange_id)
        assert not lanes.exchanged
    lanes.merged(opening)
    assert lanes.exchanged


def test_only_the_newest_beat_is_answered() -> None:
    lanes = Lanes(WHOLE)
    for number in (4, 6, 5):
        lanes.beat(number)
    assert drained(lanes)[1:] == [LeaseFrame(6)]
    assert lanes.next() is None


def test_orders_that_find_no_room_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.lanes.MAX_WAITING_ORDERS", 1)
    lanes = Lanes(WHOLE)
    assert (lanes.order(ORDER, ETAGS), lanes.order(ORDER, ETAGS)) == (True, False)


def test_of_a_vehicles_sessions_the_newest_that_is_to_be_closed_is_named() -> None:
    lanes = Lanes(WHOLE)
    for count in (2, 3, 1):
        lanes.close("A", Session(7, count))
    assert drained(lanes)[1:] == [CloseFrame("A", Session(7, 3))]


def _names(count: int) -> list[str]:
    """As long as a name may be."""
    return [f"TRUCK-{number:057}" for number in range(count)]


def test_chunks_hold_everything_in_order_and_fit_what_a_gateway_takes() -> None:
    stops = tuple(stop(f"s{number}", named(*_names(1 + number * 400))) for number in range(25))
    releases = tuple(release(f"r{number}", "s" * 36, *_names(9_000), approved_by="boss") for number in range(3))
    chunks = list(in_chunks(SetDelta(stops, releases)))
    assert tuple(stop for chunk in chunks for stop in chunk.stops) == stops
    assert tuple(release for chunk in chunks for release in chunk.releases) == releases
    assert max(set_to_proto(chunk).ByteSize() for chunk in chunks) < 1024 * 1024
    last_release = max(index for index, chunk in enumerate(chunks) if chunk.releases)
    first_stop = min(index for index, chunk in enumerate(chunks) if chunk.stops)
    assert last_release <= first_stop, "no stop goes ahead of its own release"
    assert len(chunks) < len(stops), "small ones share a frame"


def test_nothing_makes_no_chunk() -> None:
    assert list(in_chunks(SetDelta())) == []


def test_the_limit_leaves_room_below_what_gateways_take() -> None:
    assert lanes.MAX_SET_BYTES * 2 <= 1024 * 1024

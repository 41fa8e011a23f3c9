"""What a peer is told: all that is known first, and counted. What it has on disk: a frame once, when all of it is."""

from collections.abc import Iterable

import pytest

from command_service.effects import Ack, Awaited, approval
from command_service.events import OrderRecorded
from command_service.hearing import Hears
from command_service.link_streams import LINK_LIMITS
from command_service.peer_lanes import Inbox, PeerLanes, Told
from command_service.peer_wire import frame_to, told_from
from pitwall.domain.order import Order, Resume
from pitwall.domain.stop_set import Release, SetDelta
from pitwall.ids import uuid7
from tests.unit.command_service.samples import NS, named, release, stop

ASKED, AGREED = release("asked"), release("agreed", approved_by="boss")
IN_FORCE = release("in force", approved_by="boss")
ORDER = OrderRecorded(Order("q", Resume()), NS, ())
NOTHING = SetDelta()


def set_of(*stop_ids: str) -> SetDelta:
    return SetDelta(tuple(map(stop, stop_ids)))


def drained(lanes: PeerLanes) -> list[Told | Hears | OrderRecorded]:
    frames = []
    while (frame := lanes.next()) is not None:
        frames.append(frame)
    return frames


def told(lanes: PeerLanes) -> list[Told]:
    return [frame for frame in drained(lanes) if isinstance(frame, Told)]


def names(count: int) -> list[str]:
    """As long as a name may be."""
    return [f"TRUCK-{number:057}" for number in range(count)]


def stop_ack(stop_id: str) -> Ack:
    return Ack(Awaited.STOP, stop_id)


# The lanes


def test_the_opening_goes_first_and_then_sets_ahead_of_releases_ahead_of_orders() -> None:
    lanes = PeerLanes(set_of("old"), [ASKED])
    lanes.order(ORDER)
    lanes.ask(AGREED)
    lanes.push(set_of("new"))
    assert drained(lanes) == [
        Told(1, set_of("old"), ()),
        Told(2, NOTHING, (ASKED,)),
        Told(3, set_of("new"), ()),
        Told(4, NOTHING, (AGREED,)),
        ORDER,
    ]
    assert lanes.next() is None


@pytest.mark.parametrize(
    ("whole", "waiting", "frames"),
    [
        (NOTHING, [], 0),
        (set_of("s"), [], 1),
        (SetDelta((), (IN_FORCE,)), [], 1),
        (NOTHING, [ASKED, ASKED], 1),
        (set_of("s"), [ASKED, AGREED, AGREED], 4),
    ],
    ids=["nothing", "a stop", "a release in force", "requests share one", "approvals don't"],
)
def test_the_opening_is_counted(whole: SetDelta, waiting: list[Release], frames: int) -> None:
    lanes = PeerLanes(whole, waiting)
    lanes.push(set_of("new"))
    assert lanes.opening_frames == frames
    (*opening, news) = told(lanes)
    assert [frame.number for frame in opening] == list(range(1, frames + 1))
    assert [one for frame in opening for one in frame.delta.stops] == list(whole.stops)
    assert [one for frame in opening for one in frame.delta.releases] == list(whole.releases)
    assert [one for frame in opening for one in frame.waiting] == waiting
    assert news == Told(frames + 1, set_of("new"), ())


def test_whatever_waits_every_frame_can_be_sent_and_taken() -> None:
    """A frame that gRPC refuses would end every stream at its beginning, for ever."""
    vehicle_ids = names(10_000)
    stops = [stop(uuid7(), named(*vehicle_ids)) for _ in range(3)]
    waiting = [release(uuid7(), uuid7(), *vehicle_ids) for _ in range(10)]
    lanes = PeerLanes(SetDelta(tuple(stops)), waiting)
    for one in waiting:
        lanes.ask(one)
    largest = max(frame_to(frame).ByteSize() for frame in drained(lanes))
    assert largest < min(LINK_LIMITS.max_send_bytes, LINK_LIMITS.max_receive_bytes)


def test_a_frame_says_the_same_on_the_wire() -> None:
    ids = {name: uuid7() for name in ("stop", "in force", "asked", "agreed")}
    delta = SetDelta((stop(ids["stop"]),), (release(ids["in force"], ids["stop"], approved_by="boss"),))
    waiting = (release(ids["asked"], ids["stop"]), release(ids["agreed"], ids["stop"], approved_by="boss"))
    assert told_from(frame_to(Told(7, delta, waiting)).replicate) == (Told(7, delta, waiting), [])


# What hangs on a frame


@pytest.mark.parametrize(
    ("frame", "acks"),
    [
        (Told(1, set_of("s", "t"), ()), [stop_ack("s"), stop_ack("t")]),
        (Told(1, SetDelta((), (IN_FORCE,)), ()), []),
        (Told(1, NOTHING, (ASKED,)), [Ack(Awaited.REQUEST, "asked")]),
        (Told(1, NOTHING, (AGREED,)), [approval(AGREED)]),
    ],
    ids=["stops", "in force needs nobody's disk", "a request", "an approval"],
)
def test_what_hangs_on_a_frame_is_told_once_when_the_peer_has_it(frame: Told, acks: list[Ack]) -> None:
    lanes = PeerLanes(frame.delta, frame.waiting)
    assert lanes.journaled(1) == (), "never sent yet"
    assert drained(lanes) == [frame]
    assert list(lanes.journaled(1)) == acks
    assert lanes.journaled(1) == (), "twice says nothing new"
    assert lanes.journaled(2) == (), "a frame that never was"


# The other end


class Disk:
    """What is on it, and how often it was asked."""

    def __init__(self, *stop_ids: str) -> None:
        self.holds = set(map(stop_ack, stop_ids))
        self.asked = 0

    def __call__(self, ack: Ack) -> bool:
        self.asked += 1
        return ack in self.holds

    def write(self, *stop_ids: str) -> None:
        self.holds |= set(map(stop_ack, stop_ids))


def received(opening_frames: int, frames: Iterable[Told]) -> Inbox:
    inbox = Inbox(opening_frames)
    for frame in frames:
        inbox.take(frame)
    return inbox


def anything(ack: Ack) -> bool:
    """One that vouches for all that it has on disk."""
    return True


def test_a_frame_is_acknowledged_once_when_all_of_it_is_on_disk() -> None:
    disk = Disk()
    inbox = received(0, [Told(1, set_of("s", "t"), ())])
    for written, ready in (("s", False), ("t", True)):
        disk.write(written)
        assert inbox.ready(disk, anything) is ready
    assert inbox.settle(disk, anything) == [1]
    assert (inbox.ready(disk, anything), inbox.settle(disk, anything)) == (False, [])


def test_frames_are_acknowledged_as_they_get_to_disk_in_whatever_order() -> None:
    disk = Disk("t")
    inbox = received(0, [Told(1, set_of("s"), ()), Told(2, set_of("t"), ()), Told(3, SetDelta((), (IN_FORCE,)), ())])
    assert inbox.settle(disk, anything) == [2, 3]
    disk.write("s")
    assert inbox.settle(disk, anything) == [1]


def test_it_is_opened_when_all_of_the_opening_is_on_disk_and_not_by_anything_later() -> None:
    disk = Disk("news")
    frames = [Told(1, set_of("s"), ()), Told(2, set_of("t"), ()), Told(3, set_of("news"), ())]
    inbox = received(2, frames)
    for written, opened in (("news", False), ("t", False), ("s", True)):
        disk.write(written)
        inbox.settle(disk, anything)
        assert inbox.opened is opened


def test_it_is_not_opened_before_the_opening_has_come() -> None:
    inbox = Inbox(1)
    assert (inbox.opened, inbox.settle(Disk(), anything)) == (False, [])


def test_a_peer_that_knew_nothing_is_opened_at_once() -> None:
    assert Inbox(0).opened


def test_many_stops_are_not_asked_for_again_and_again() -> None:
    """Each time a record is on disk somebody looks: 10,000 records must not be 10,000 times 10,000 questions."""
    stop_ids = [f"s{number}" for number in range(1_000)]
    disk = Disk()
    inbox = received(1, [Told(1, set_of(*stop_ids), ())])
    for stop_id in stop_ids:
        disk.write(stop_id)
        inbox.ready(disk, anything)
    assert inbox.settle(disk, anything) == [1]
    assert disk.asked < 3 * len(stop_ids)


def test_an_approval_that_is_on_disk_is_acknowledged_when_it_is_vouched_for_too() -> None:
    """Nothing else waits for that: not what came with it at the opening, and not that all of it has been told."""
    disk = Disk("s")
    disk.holds |= {approval(AGREED), Ack(Awaited.REQUEST, "asked")}
    opening = PeerLanes(set_of("s"), [AGREED, ASKED])
    inbox = received(opening.opening_frames, told(opening))
    vouched: set[str] = set()
    assert inbox.settle(disk, lambda ack: ack.id in vouched) == [1, 2]
    assert inbox.opened
    assert not inbox.ready(disk, lambda ack: ack.id in vouched)
    vouched.add("agreed")
    assert inbox.ready(disk, lambda ack: ack.id in vouched)
    assert inbox.settle(disk, lambda ack: ack.id in vouched) == [3]
    assert (inbox.ready(disk, anything), inbox.settle(disk, anything)) == (False, [])

"""The called end of a stream between two: who is let in, what is acknowledged and when, and what nobody waits for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from haul.command.v1 import order_pb2, stop_pb2
from haul.link.v1 import peer_link_service_pb2 as peer_pb2

from command_service import link_streams, peers
from command_service.core import CommandCore
from command_service.effects import Ack, Awaited
from command_service.events import OrderRecorded, Outcome
from command_service.hub import Hub, moment
from command_service.journal import Journal, JournalFull
from command_service.orders import AWAY
from command_service.peer_lanes import Inbox, PeerLanes, Told
from command_service.peer_wire import frame_to, hello_to
from command_service.peers import PeerLinkServicer
from command_service.store import Store
from pitwall.domain.order import Order, Resume
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import SetDelta
from pitwall.ids import uuid7
from pitwall.rpc.errors import DeadlineExceeded, InvalidArgument, PermissionDenied, PitwallError, Unavailable
from pitwall.tls import Identity
from tests.unit.command_service.samples import NS, release, stop

MEMBERS = ("c1", "c2", "c3")
PEER = Identity("command", "c2")
ONE, TWO, THREE = uuid7(), uuid7(), uuid7()


class Context:
    """The stream as the handler has it; the test is the caller."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Any] = asyncio.Queue()
        self.answers: list[peer_pb2.PeerFrame] = []
        self.news = asyncio.Event()
        self.reads = True

    def tell(self, *frames: Any) -> None:
        """A frame of the contract, or the end."""
        for frame in frames:
            request = peer_pb2.ExchangeRequest(frame=frame) if isinstance(frame, peer_pb2.PeerFrame) else frame
            self._frames.put_nowait(request)

    async def read(self) -> Any:
        return await self._frames.get()

    async def write(self, response: peer_pb2.ExchangeResponse) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.answers.append(response.frame)
        self.news.set()

    @property
    def journaled(self) -> list[int]:
        """Frames acknowledged."""
        return [frame.journaled.replicate_id for frame in self.answers if frame.HasField("journaled")]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                self.news.clear()
                await self.news.wait()


class Disk:
    """Takes records when the test says so."""

    def __init__(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hangs = False
        self.full = False
        self._waiting: list[Callable[[], None]] = []
        self._append = hub.journal.append
        monkeypatch.setattr(hub.journal, "append", self.append)

    def append(self, record: Any) -> "asyncio.Future[None]":
        if self.full:
            raise JournalFull("no room")
        if not self.hangs:
            return self._append(record)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(lambda: future.set_result(None))
        return future

    def work(self) -> None:
        self.hangs = False
        for done in self._waiting:
            done()


@dataclass
class Bench:
    """c1, called by c2."""

    hub: Hub
    disk: Disk

    @property
    def core(self) -> CommandCore:
        return self.hub.core

    @asynccontextmanager
    async def called(self, *frames: peer_pb2.PeerFrame) -> AsyncIterator[Context]:
        """Within a stream that has begun with these; it must not end by itself."""
        context = Context()
        context.tell(*frames)
        call = asyncio.create_task(self.exchange(context))
        try:
            yield context
            assert not call.done(), call
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def exchange(self, context: Context) -> None:
        async with asyncio.timeout(5):
            await PeerLinkServicer(self.hub, MEMBERS[1:]).Exchange(None, context)  # type: ignore[arg-type]


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for module in (peers, link_streams):
        monkeypatch.setattr(module, "current_identity", lambda: PEER)
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=False, has_peers=True))
    hub = Hub(CommandCore("c1", MEMBERS, PermitTerms(), complete=False), journal)
    yield Bench(hub, Disk(hub, monkeypatch))
    await journal.close(5)


def hello(opening_frames: int = 0, *, complete: bool = True, name: str = "c2") -> peer_pb2.PeerFrame:
    return hello_to(name, complete=complete, opening_frames=opening_frames)


def stops(number: int, *stop_ids: str) -> peer_pb2.PeerFrame:
    return frame_to(Told(number, SetDelta(tuple(map(stop, stop_ids))), ()))


# Who is let in


@pytest.mark.parametrize(
    ("first", "error", "reason"),
    [
        (hello(name="c3"), PermissionDenied, "WRONG_NAME"),
        (stops(1, ONE), InvalidArgument, "HELLO_FIRST"),
        (peer_pb2.PeerFrame(), InvalidArgument, "HELLO_FIRST"),
        (grpc.aio.EOF, InvalidArgument, "HELLO_FIRST"),
        (
            peer_pb2.PeerFrame(hello=peer_pb2.PeerHello(command_service="c2", protocol_version=3)),
            InvalidArgument,
            "PROTOCOL_VERSION",
        ),
    ],
    ids=["another's name", "no hello", "an empty frame", "nothing at all", "a contract of the future"],
)
async def test_whoever_does_not_say_who_it_is_is_refused(
    bench: Bench, first: Any, error: type[PitwallError], reason: str
) -> None:
    context = Context()
    context.tell(first)
    with pytest.raises(error) as refused:
        await bench.exchange(context)
    assert refused.value.reason == reason
    assert not bench.core.stops.snapshot()


async def test_a_command_service_of_another_site_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_streams, "current_identity", lambda: Identity("command", "c9"))
    context = Context()
    context.tell(hello(name="c9"))
    with pytest.raises(PermissionDenied, match="name it in `peers` of c1"):
        await bench.exchange(context)


async def test_one_that_says_nothing_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_streams, "HELLO_TIMEOUT_S", 0.02)
    context = Context()
    with pytest.raises(DeadlineExceeded, match="send hello first"):
        await bench.exchange(context)
    assert context.answers == [hello_to("c1", complete=False)], "this one speaks first"


async def test_one_that_does_not_read_is_cut_off_without_a_word(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "WRITE_STALL_S", 0.02)
    context = Context()
    context.tell(hello())
    call = asyncio.create_task(bench.exchange(context))
    await context.until(lambda: bool(context.answers))
    context.reads = False
    context.tell(stops(1, ONE))
    await call
    assert bench.core.stops.is_active(ONE)


async def test_the_end_of_the_caller_is_the_end_of_the_stream(bench: Bench) -> None:
    context = Context()
    context.tell(hello(), stops(1, ONE), grpc.aio.EOF)
    await bench.exchange(context)
    assert bench.core.stops.is_active(ONE), "what it had said before counts"


async def test_it_ends_when_this_one_stops(bench: Bench) -> None:
    context = Context()
    context.tell(hello())
    servicer = PeerLinkServicer(bench.hub, MEMBERS[1:])
    call = asyncio.create_task(servicer.Exchange(None, context))  # type: ignore[arg-type]
    await context.until(lambda: bool(context.answers))
    servicer.stop()
    with pytest.raises(Unavailable):
        await call


# What it tells


async def test_a_stop_is_in_force_at_once_and_acknowledged_when_it_is_on_disk(bench: Bench) -> None:
    bench.disk.hangs = True
    async with bench.called(hello(), stops(1, ONE, TWO)) as context:
        assert await bench.hub.until(lambda: bench.core.stops.is_active(TWO), 5)
        await asyncio.sleep(0.02)
        assert context.journaled == []
        bench.disk.work()
        await context.until(lambda: context.journaled == [1])


async def test_what_can_be_read_is_taken_and_the_frame_is_not_acknowledged(bench: Bench) -> None:
    """It is not all here. The next one is."""
    half = stops(1, ONE)
    half.replicate.stop_set.stops.append(stop_pb2.Stop(stop_id="x"))
    async with bench.called(hello(1), half, stops(2, TWO)) as context:
        await context.until(lambda: context.journaled == [2])
        assert bench.core.stops.is_active(ONE)
        assert bench.core.recall.heard == 0, "and so not all that it knew has been heard"


async def test_what_finds_no_room_in_the_journal_is_in_force_and_acknowledged_once_it_has_found_some(
    bench: Bench,
) -> None:
    bench.disk.full = True
    async with bench.called(hello(), stops(1, ONE)) as context:
        assert await bench.hub.until(lambda: bench.core.stops.is_active(ONE), 5)
        bench.disk.full = False
        context.tell(stops(2, TWO), stops(3, ONE))
        assert await bench.hub.until(lambda: bench.core.stops.is_active(TWO), 5)
        assert context.journaled == [], "what comes later waits behind it"
        assert not bench.core.on_disk(Ack(Awaited.STOP, ONE))
        bench.hub._append_again()
        await context.until(lambda: sorted(context.journaled) == [1, 2, 3])


async def test_while_nothing_gets_to_disk_nobody_looks_again_and_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    settle = Inbox.settle

    def counted(inbox: Any, on_disk: Any, vouches: Any) -> list[int]:
        nonlocal looks
        looks += 1
        return settle(inbox, on_disk, vouches)

    monkeypatch.setattr(Inbox, "settle", counted)
    bench.disk.hangs = True
    async with bench.called(hello(), stops(1, ONE)) as context:
        assert await bench.hub.until(lambda: bench.core.stops.is_active(ONE), 5)
        for _ in range(200):
            bench.hub.carry_out()
            await asyncio.sleep(0)
        assert looks <= 2
        assert context.journaled == []


async def test_an_order_is_remembered_and_one_that_cannot_be_read_harms_nothing(bench: Bench) -> None:
    request_id = uuid7()
    record = OrderRecorded(Order(request_id, Resume(), issued_by="somebody"), NS, (Outcome("TRUCK-A", AWAY, NS),))
    unread = peer_pb2.PeerFrame(order=order_pb2.OrderRecord())
    async with bench.called(hello(), unread, frame_to(record), peer_pb2.PeerFrame(), stops(1, ONE)) as context:
        await context.until(lambda: context.journaled == [1])
        entry = bench.core.orders.get(request_id)
        assert entry is not None
        outcome = entry.outcomes["TRUCK-A"].outcome
        assert outcome is not None
        assert outcome.result is AWAY.result


# All that it knows


@pytest.mark.parametrize("complete", [False, True])
async def test_it_has_told_all_when_the_opening_is_on_disk(bench: Bench, complete: bool) -> None:
    lanes = PeerLanes(SetDelta((stop(ONE), stop(TWO))), [release(THREE, ONE, approved_by="boss")])
    frames = [frame_to(frame) for _ in range(lanes.opening_frames) if (frame := lanes.next())]
    bench.disk.hangs = True
    async with bench.called(hello(lanes.opening_frames, complete=complete), *frames) as context:
        assert await bench.hub.until(lambda: bench.core.releases.waiting == 1, 5)
        assert bench.core.recall.silent == 2
        bench.disk.work()
        assert await bench.hub.until(lambda: bench.core.recall.silent == 1, 5)
        assert bench.core.recall.heard == (1 if complete else 0)
        assert not bench.core.recall.complete, "c3 has not told anything"
        assert context.journaled == [1], "it can't vouch for an approval: perhaps it had another one of that id"
        bench.core.recalled("c3", moment(), complete=True)
        bench.hub.carry_out()
        if complete:
            await context.until(lambda: context.journaled == [1, 2])
        else:
            assert await bench.hub.until(lambda: bench.core.recall.silent == 0, 5)
            assert context.journaled == [1]


async def test_one_that_knew_nothing_has_told_all_with_its_hello(bench: Bench) -> None:
    async with bench.called(hello()):
        assert await bench.hub.until(lambda: bench.core.recall.heard == 1, 5)


async def test_that_all_is_known_again_goes_to_disk(bench: Bench, tmp_path: Path) -> None:
    bench.core.recalled("c3", moment(), complete=True)
    async with bench.called(hello()):
        assert await bench.hub.until(lambda: bench.core.recall.complete, 5)
    await bench.hub.journal.close(5)
    store = Store.open(tmp_path / "journal.sqlite", "c1", first_start=False, has_peers=True)
    assert store.complete
    store.close()

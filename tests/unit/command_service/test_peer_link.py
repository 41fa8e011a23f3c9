"""The shell of a stream to a peer: told from its answer on, counted by what it says, and no end of it ends the link."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from haul.link.v1 import peer_link_service_pb2 as peer_pb2

from command_service import peer_link
from command_service.hub import Hub
from command_service.journal import Journal
from command_service.peer import Peer
from command_service.peer_link import PeerLink
from command_service.peer_wire import hello_to
from command_service.store import Store
from pitwall.tls import InvalidCredentials
from tests.unit.command_service.samples import at, core_with, stop

MEMBERS = ("c1", "c2", "c3")
HELLO = peer_pb2.ExchangeResponse(frame=hello_to("c2", complete=True))
GONE = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "stopping")


def journaled(number: int) -> peer_pb2.ExchangeResponse:
    return peer_pb2.ExchangeResponse(frame=peer_pb2.PeerFrame(journaled=peer_pb2.Journaled(replicate_id=number)))


class Call:
    """One stream, of which the test is the other end."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self.frames: list[peer_pb2.PeerFrame] = []
        self.news = asyncio.Event()
        self.reads = True
        self.over = False
        self.cancelled = False

    def answer(self, *answers: Any) -> None:
        """A message, an error, or the end."""
        for answer in answers:
            self._answers.put_nowait(answer)

    async def read(self) -> Any:
        answer = await self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def write(self, request: peer_pb2.ExchangeRequest) -> None:
        if self.over:
            raise asyncio.InvalidStateError("RPC already finished.")
        if not self.reads:
            await asyncio.Event().wait()
        self.frames.append(request.frame)
        self.news.set()

    def cancel(self) -> None:
        self.cancelled = True

    async def told(self, count: int) -> peer_pb2.PeerFrame:
        """The frame number `count`."""
        async with asyncio.timeout(5):
            while len(self.frames) < count:
                self.news.clear()
                await self.news.wait()
        return self.frames[count - 1]


@dataclass
class Bench:
    """A link to c2 whose streams are the test's."""

    hub: Hub
    peer: Peer
    calls: list[Call] = field(default_factory=list)
    opened: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    waits: list[int] = field(default_factory=list)  # the number of each try to come
    credentials: Callable[[], None] = lambda: None

    def exchange(self) -> Call:
        self.calls.append(Call())
        self.opened.release()
        return self.calls[-1]

    async def call(self) -> Call:
        """The next stream."""
        async with asyncio.timeout(5):
            await self.opened.acquire()
        return self.calls[-1]


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=True))
    peer = Peer("c2", "localhost:1")
    bench = Bench(Hub(core_with(members=MEMBERS), journal, [peer]), peer)

    def wait_s(attempt: int) -> float:
        bench.waits.append(attempt)
        return 0.0

    async def close(grace: float | None) -> None:
        pass

    monkeypatch.setattr(peer_link, "open_channel", lambda *_: SimpleNamespace(close=close))
    monkeypatch.setattr(peer_link, "PeerLinkServiceStub", lambda _: SimpleNamespace(Exchange=bench.exchange))
    monkeypatch.setattr(peer_link, "jitter_s", wait_s)
    yield bench
    await journal.close(5)


@asynccontextmanager
async def linked(bench: Bench) -> AsyncIterator[None]:
    """The link runs; the test fails where it has ended by itself."""
    run = asyncio.create_task(PeerLink(bench.peer, bench.hub, bench.credentials).run())
    try:
        yield
        assert not run.done(), run
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


def stopped(bench: Bench, stop_id: str) -> None:
    bench.hub.core.issue(stop(stop_id), at())
    bench.hub.carry_out()


def stop_ids(frame: peer_pb2.PeerFrame) -> list[str]:
    return [stop.stop_id for stop in frame.replicate.stop_set.stops]


# What it tells


async def test_it_is_told_all_that_is_known_when_it_answers_and_then_what_is_new(bench: Bench) -> None:
    """What a peer has lost with its disk it may have confirmed a moment before: nothing older will do."""
    stopped(bench, "before the call")
    async with linked(bench):
        call = await bench.call()
        stopped(bench, "before the answer")
        assert not bench.peer.greeted
        call.answer(HELLO)
        hello = (await call.told(1)).hello
        assert (hello.command_service, hello.journal_complete, hello.opening_frames) == ("c1", True, 1)
        assert stop_ids(await call.told(2)) == ["before the call", "before the answer"]
        assert bench.peer.greeted
        stopped(bench, "after it")
        assert stop_ids(await call.told(3)) == ["after it"]


async def test_its_disk_counts_when_it_says_so(bench: Bench) -> None:
    stopped(bench, "s")
    async with linked(bench):
        call = await bench.call()
        call.answer(HELLO)
        await call.told(2)
        assert "c2" not in bench.hub.core.ledger["s"].journaled_by
        call.answer(journaled(7), journaled(1))
        assert await bench.hub.until(lambda: "c2" in bench.hub.core.ledger["s"].journaled_by, 5)


async def test_the_next_stream_begins_with_everything(bench: Bench) -> None:
    async with linked(bench):
        first = await bench.call()
        first.answer(HELLO)
        await first.told(1)
        stopped(bench, "s")
        await first.told(2)
        first.answer(GONE)
        second = await bench.call()
        stopped(bench, "between two streams")
        second.answer(HELLO)
        assert (await second.told(1)).hello.opening_frames == 1
        assert stop_ids(await second.told(2)) == ["s", "between two streams"]
        assert first.cancelled


# How a stream ends


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [
        ([GONE], [1, 2]),
        ([grpc.aio.EOF], [1, 2]),
        ([peer_pb2.ExchangeResponse()], [1, 2]),
        ([peer_pb2.ExchangeResponse(frame=hello_to("c3", complete=True))], [1, 2]),
        # One that answered is tried again soon.
        ([HELLO, GONE], [1, 1]),
        ([HELLO, grpc.aio.EOF], [1, 1]),
    ],
    ids=["unreachable", "ended unheard", "no hello", "another name", "broken", "ended"],
)
async def test_however_it_ends_the_link_goes_on(bench: Bench, answers: list[Any], attempts: list[int]) -> None:
    async with linked(bench):
        for _ in range(2):
            call = await bench.call()
            call.answer(*answers)
        await bench.call()
    assert bench.waits == attempts


async def test_a_peer_of_another_name_is_told_nothing(bench: Bench) -> None:
    stopped(bench, "s")
    async with linked(bench):
        call = await bench.call()
        call.answer(peer_pb2.ExchangeResponse(frame=hello_to("c3", complete=True)))
        await bench.call()
        assert call.frames == []


async def test_a_stop_at_the_moment_when_the_stream_ends_does_not_end_the_link(bench: Bench) -> None:
    """gRPC refuses a write to a call that is over, and the reader has not heard of that end yet."""
    async with linked(bench):
        call = await bench.call()
        call.answer(HELLO)
        await call.told(1)
        call.over = True
        stopped(bench, "s")
        await bench.hub.until(lambda: False, 0.01)
        call.answer(GONE)
        await bench.call()


async def test_a_call_that_gave_itself_up_does_not_end_the_link(bench: Bench) -> None:
    """gRPC cancels the call of a write that took too long; its reader then ends as if somebody had cancelled it."""
    async with linked(bench):
        call = await bench.call()
        call.answer(HELLO)
        await call.told(1)
        call.answer(asyncio.CancelledError())
        await bench.call()


@pytest.mark.parametrize(("limit", "answers"), [("HELLO_TIMEOUT_S", []), ("WRITE_STALL_S", [HELLO])])
async def test_one_that_says_nothing_or_does_not_read_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: str, answers: list[Any]
) -> None:
    monkeypatch.setattr(peer_link, limit, 0.02)
    async with linked(bench):
        call = await bench.call()
        call.reads = False
        call.answer(*answers)
        await bench.call()
        assert call.cancelled


async def test_with_certificates_that_cannot_be_read_it_tries_until_they_can(bench: Bench) -> None:
    unfit = [InvalidCredentials("c.key: no key"), InvalidCredentials("c.key: no key")]

    def credentials() -> None:
        if unfit:
            raise unfit.pop()

    bench.credentials = credentials
    async with linked(bench):
        await bench.call()
    assert bench.waits == [1, 2]

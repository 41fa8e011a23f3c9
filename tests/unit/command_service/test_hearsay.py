"""What a peer says of vehicles that are not heard here: shown like a gateway's word, and believed no more than that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from haul.command.v1 import event_pb2, stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import peer_link_service_pb2 as peer_pb2

from command_service.hearing import Hears
from command_service.hearsay import Hearsay
from command_service.hub import Hub, moment
from command_service.journal import Journal
from command_service.ledger import Summary
from command_service.peer import RELAY_EVERY_S, Peer
from command_service.peer_lanes import PeerLanes
from command_service.relay import Links, Relay
from command_service.store import Reader, Store
from pitwall.domain.stop_set import SetDelta
from pitwall.ids import uuid7
from tests.unit.command_service.samples import core_with, named, opened, stop

URI = "spiffe://pitwall.local/command/c2"
STOP_ID = uuid7()
A, B = "TRUCK-A", "TRUCK-B"
RECEIVED, STANDSTILL = stop_pb2.STOP_STAGE_RECEIVED, stop_pb2.STOP_STAGE_STANDSTILL


class Bench:
    """c1 hears no gateway; c2 tells it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.skipped: list[str] = []
        self.says = self.stream(1)

    def stream(self, number: int) -> Hearsay:
        return Hearsay(self.hub, "c2", URI, number, lambda uri, field, reason: self.skipped.append(field))

    def summary(self) -> Summary:
        return self.hub.core.ledger.summary(STOP_ID)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=True))
    hub = Hub(core_with(members=("c1", "c2", "c3")), journal, [Peer("c2", "c2:1"), Peer("c3", "c3:1")])
    yield Bench(hub)
    await journal.close(5)


def links(*vehicle_ids: str, closed: str = "") -> peer_pb2.SessionNews:
    return peer_pb2.SessionNews(
        opened=[link_pb2.SessionOpened(vehicle_id=v, boot_epoch=7, connect_count=1) for v in vehicle_ids],
        closed=[link_pb2.SessionClosed(vehicle_id=closed)] if closed else (),
    )


def words(vehicle_id: str, *stages: stop_pb2.StopStage.ValueType, stop_id: str = STOP_ID) -> link_pb2.VehicleReports:
    progress = [stop_pb2.StopProgress(stop_id=stop_id, stage=stage) for stage in stages]
    return link_pb2.VehicleReports(reports=[link_pb2.VehicleReport(vehicle_id=vehicle_id, progress=progress)])


def sums(bench: Bench) -> tuple[int, int, int]:
    found = bench.summary()
    return found.standstill, found.pending, found.unreachable


async def test_a_stop_is_followed_to_its_end_without_any_gateway(bench: Bench, tmp_path: Path) -> None:
    bench.hub.core.issue(stop(STOP_ID, named(A, B)), moment())
    assert sums(bench) == (0, 0, 2)
    bench.says.links(links(A))
    assert sums(bench) == (0, 1, 1)
    bench.says.words(words(A, stop_pb2.STOP_STAGE_SENT, RECEIVED, STANDSTILL))
    assert sums(bench) == (1, 0, 1)
    bench.says.links(links(closed=A))
    assert sums(bench) == (0, 0, 2)
    assert bench.skipped == []
    # And it is in the journal, SENT as the word of whoever passed it on.
    await bench.hub.journal.close(5)
    events = [event_pb2.CommandEvent.FromString(raw) for raw in Reader(tmp_path / "journal.sqlite").read(0, 100)]
    told = [(event.actor, event.stop_progress.stage) for event in events if event.HasField("stop_progress")]
    vehicle = "spiffe://pitwall.local/vehicle/TRUCK-A"
    assert told == [(URI, stop_pb2.STOP_STAGE_SENT), (vehicle, RECEIVED), (vehicle, STANDSTILL)]


async def test_a_vehicle_that_was_never_heard_of_is_in_scope_of_the_fleet_once_it_is_told(bench: Bench) -> None:
    bench.hub.core.issue(stop(STOP_ID), moment())
    assert sums(bench) == (0, 0, 0)
    bench.says.links(links(A))
    assert sums(bench) == (0, 1, 0)


async def test_a_stage_of_a_stop_that_is_not_for_the_vehicle_is_not_taken(bench: Bench) -> None:
    bench.hub.core.issue(stop(STOP_ID, named(A)), moment())
    bench.says.links(links(A, B))
    bench.says.words(words(B, STANDSTILL))
    assert bench.skipped == ["reports.progress.stop_id"]
    assert sums(bench) == (0, 1, 0)


async def test_words_of_a_vehicle_that_nobody_has_told_of_are_not_taken(bench: Bench) -> None:
    bench.hub.core.issue(stop(STOP_ID), moment())
    bench.says.words(words(A, STANDSTILL))
    assert bench.skipped == ["reports.vehicle_id"]
    assert sums(bench) == (0, 0, 0)


async def test_what_cannot_be_read_harms_nothing_beside_it(bench: Bench) -> None:
    bench.hub.core.issue(stop(STOP_ID), moment())
    bench.says.links(links("truck 5", A))
    bench.says.words(words(A, 99, RECEIVED))  # type: ignore[arg-type]  # a stage of a newer contract
    assert bench.skipped == ["session_news.opened.vehicle_id"]
    assert sums(bench) == (0, 1, 0)


async def test_when_the_peer_is_gone_its_vehicles_are_unreachable(bench: Bench) -> None:
    bench.hub.core.issue(stop(STOP_ID), moment())
    bench.says.links(links(A))
    bench.says.words(words(A, STANDSTILL))
    bench.says.end()
    assert sums(bench) == (0, 0, 1)


async def test_the_end_of_an_older_stream_takes_nothing_from_the_newer_one(bench: Bench) -> None:
    bench.hub.core.issue(stop(STOP_ID), moment())
    bench.says.links(links(A))
    newer = bench.stream(2)
    newer.hearing(peer_pb2.Hearing(gateways=["gateway-1"]))
    newer.links(links(A))
    bench.says.end()
    assert sums(bench) == (0, 1, 0)
    hearing = bench.hub.hearing
    hearing.ask(frozenset(), ["c2"], 0.0)
    assert hearing.ask(frozenset(), ["c2"], 10.0) == {"c2": {"gateway-1"}}


# The other end


def begun(hub: Hub, peer: Peer) -> None:
    """It has answered, and nothing waits for it."""
    peer.begin(PeerLanes(SetDelta(), ()), Relay(hub.core.registry, hub.core.ledger))


async def test_a_peer_that_asks_is_told_a_moment_later(bench: Bench) -> None:
    two, three = bench.hub.peers
    for peer in (two, three):
        begun(bench.hub, peer)
    bench.hub.attach("gateway-1", "spiffe://gateway")
    bench.hub.core.opened(1, "gateway-1", opened(A), moment())
    bench.hub.carry_out()
    assert two.next() is None
    bench.says.hearing(peer_pb2.Hearing(wanted=["gateway-1"]))
    await asyncio.sleep(RELAY_EVERY_S * 2)
    frame = two.next()
    assert isinstance(frame, Links)
    assert [vehicle.vehicle_id for vehicle in frame.opened] == [A]
    assert three.next() is None, "it has not asked"
    # What it asked for outlasts the stream that it is told on, and not the one that it asked on.
    two.end()
    begun(bench.hub, two)
    await asyncio.sleep(RELAY_EVERY_S * 2)
    assert two.next() == frame
    bench.says.end()
    await asyncio.sleep(RELAY_EVERY_S * 2)
    frame = two.next()
    assert isinstance(frame, Links)
    assert [vehicle.vehicle_id for vehicle in frame.closed] == [A]


async def test_who_hears_what_is_told_when_it_changes_and_not_otherwise(bench: Bench) -> None:
    peer = bench.hub.peers[0]
    begun(bench.hub, peer)
    run = asyncio.create_task(bench.hub.run())
    try:
        bench.hub.attach("gateway-1", "spiffe://gateway")
        await asyncio.sleep(0.15)
        assert peer.next() == Hears(frozenset({"gateway-1"}))
        await asyncio.sleep(0.15)
        assert peer.next() is None
        bench.says.hearing(peer_pb2.Hearing(gateways=["gateway-1", "gateway-2"]))
        await asyncio.sleep(0.8)
        assert peer.next() == Hears(frozenset({"gateway-1"}), frozenset({"gateway-2"}))
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

"""The hub: a push is in the lanes in the same step, and what finds no room is said."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from haul.command.v1 import event_pb2, order_pb2, stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import vehicle_link_service_pb2 as vehicle_pb2

from command_service.events import OrderRecorded
from command_service.feed import Feed
from command_service.hearing import Hears
from command_service.hub import RELAY_S, Hub
from command_service.journal import Journal
from command_service.lanes import CloseFrame, SetFrame
from command_service.link import Link
from command_service.orders import AWAY, LINK_BROKE
from command_service.peer import Peer
from command_service.peer_lanes import PeerLanes, Told
from command_service.registry import Session
from command_service.store import Reader, Store
from command_service.stream import updates
from command_service.watch import TooManyWatchers
from pitwall.domain.order import MotionEtag, Order, Resume
from pitwall.domain.stop_set import SetDelta
from pitwall.ids import uuid7
from tests.unit.command_service.samples import at, core_with, opened, release, stop

ETAG = MotionEtag(7, 1, 1, 5)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=True))
    yield Hub(core_with(), journal)
    await journal.close(5)


def attached(hub: Hub, name: str = "gateway-1") -> Link:
    """A gateway that has read its first frame."""
    link = hub.attach(name, f"spiffe://pitwall.local/gateway/{name}")
    link.lanes.next()
    return link


async def test_a_push_is_in_every_lane_but_the_one_it_came_by(hub: Hub) -> None:
    one, two = attached(hub, "gateway-1"), attached(hub, "gateway-2")
    hub.core.merge(SetDelta((stop(),)), one.number, one.uri, at())
    hub.carry_out()
    assert one.lanes.next() is None
    assert two.lanes.next() == SetFrame(SetDelta((stop(),)), 2)


async def test_what_was_asked_for_here_is_written_at_once_and_what_others_tell_of_too_a_moment_later(
    tmp_path: Path,
) -> None:
    later: list[tuple[float, Callable[[], None]]] = []
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=True))
    hub = Hub(core_with(), journal, later=lambda seconds, do: later.append((seconds, do)))
    link = attached(hub)
    await link.rung()
    hub.core.issue(stop("asked"), at())
    hub.carry_out()
    async with asyncio.timeout(1):
        await link.rung()
    hub.core.told(SetDelta((stop("told"),)), (), "spiffe://pitwall.local/command/c2", at())
    hub.carry_out()
    assert not link._bell.is_set()
    ((seconds, ring),) = later
    assert seconds == RELAY_S
    ring()
    assert link._bell.is_set()
    await journal.close(5)


async def test_what_is_on_disk_makes_the_stop_issued(hub: Hub) -> None:
    hub.core.issue(stop(), at())
    hub.carry_out()
    assert await hub.until(lambda: hub.core.ledger.summary("s").confirmed, 5)


async def test_an_issuer_hears_that_its_stop_is_in_force_before_it_is_told_that_nobody_has_room(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.watch.MAX_WATCHERS", 0)
    hub.core.issue(stop(), at())
    changes = updates(hub, "s", lambda _: False, issuer=True)
    assert (await anext(changes)).entry.stop_id == "s"
    with pytest.raises(TooManyWatchers):
        await anext(changes)
    with pytest.raises(TooManyWatchers):
        await anext(updates(hub, "s", lambda _: False, issuer=False))


async def test_waiting_ends_with_its_time(hub: Hub) -> None:
    assert not await hub.until(lambda: False, 0.01)
    assert await hub.until(lambda: True, 0.0)
    assert hub._until == []


async def test_a_stop_that_finds_no_room_in_the_journal_is_in_force_all_the_same(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.journal.MAX_URGENT", 0)
    link = attached(hub)
    hub.core.issue(stop(), at())
    hub.carry_out()
    assert link.lanes.next() == SetFrame(SetDelta((stop(),)), 2)
    assert not hub.core.ledger.summary("s").confirmed


async def test_a_full_disk_gets_all_of_it_when_it_has_room_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, and in order; what had to wait for a place among those that wait, too."""
    monkeypatch.setattr("command_service.journal.MAX_URGENT", 2)
    monkeypatch.setattr("command_service.journal.RETRY_S", 0.01)
    monkeypatch.setattr("command_service.hub.AGAIN_PER_TICK", 3)
    full, commit = True, hub.journal._store.commit

    def failing(*args: Any, **named: Any) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        commit(*args, **named)

    monkeypatch.setattr(hub.journal._store, "commit", failing)
    stop_ids = [uuid7() for _ in range(9)]
    run = asyncio.create_task(hub.run())
    try:
        for stop_id in stop_ids:
            hub.core.issue(stop(stop_id), at())
            hub.carry_out()
        await asyncio.sleep(0.25)
        assert hub._no_room
        assert [hub.core.stops.is_active(stop_id) for stop_id in stop_ids] == [True] * 9
        assert [hub.core.ledger.summary(stop_id).journaled_by for stop_id in stop_ids] == [0] * 9
        full = False
        assert await hub.until(lambda: all(hub.core.ledger.summary(s).confirmed for s in stop_ids), 5)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    assert not hub._no_room
    await hub.journal.close(5)
    events = [event_pb2.CommandEvent.FromString(raw) for raw in Reader(tmp_path / "journal.sqlite").read(0, 100)]
    assert [event.stop_issued.stop_id for event in events if event.HasField("stop_issued")] == stop_ids


async def test_an_order_for_a_gateway_that_does_not_read_is_unavailable_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.lanes.MAX_WAITING_ORDERS", 0)
    link = attached(hub)
    hub.core.opened(link.number, link.gateway, opened("A"), at())
    hub.core.send(Order("q", Resume()), {"A": ETAG}, {}, at())
    hub.carry_out()
    entry = hub.core.orders.get("q")
    assert entry is not None
    outcome = entry.outcomes["A"].outcome
    assert outcome is not None
    assert (outcome.reason, outcome.may_have_happened) == ("GATEWAY_BUSY", False)


async def test_an_older_session_is_closed_where_it_is(hub: Hub) -> None:
    one, two = attached(hub, "gateway-1"), attached(hub, "gateway-2")
    hub.core.opened(one.number, one.gateway, opened("A"), at())
    hub.core.opened(two.number, two.gateway, opened("A", Session(7, 2)), at())
    hub.carry_out()
    assert one.lanes.next() == CloseFrame("A", Session(7, 1))


async def test_a_gateway_that_is_gone_takes_its_links_and_orders_with_it(hub: Hub) -> None:
    link = attached(hub)
    hub.core.opened(link.number, link.gateway, opened("A"), at())
    hub.core.send(Order("q", Resume()), {"A": ETAG}, {}, at())
    hub.carry_out()
    hub.detach(link)
    assert hub.core.registry.connected_count == 0
    entry = hub.core.orders.get("q")
    assert entry is not None
    assert entry.outcomes["A"].outcome == LINK_BROKE


# Peers


def told(hub: Hub) -> list[list[Told | Hears | OrderRecorded]]:
    """What is in the lanes of each peer."""
    return [drained(peer.lanes) for peer in hub.peers if peer.lanes is not None]


def drained(lanes: PeerLanes) -> list[Told | Hears | OrderRecorded]:
    frames = []
    while (frame := lanes.next()) is not None:
        frames.append(frame)
    return frames


@pytest.fixture
def peers(hub: Hub) -> Hub:
    """A hub with two peers that have answered, and one that has not."""
    hub.peers = (Peer("c2", "c2:1"), Peer("c3", "c3:1"), Peer("c4", "c4:1"))
    for peer in hub.peers[:2]:
        peer.begin(PeerLanes(SetDelta(), ()))
    return hub


async def test_what_is_new_goes_to_every_peer_whoever_brought_it(peers: Hub) -> None:
    link = attached(peers)
    peers.core.merge(SetDelta((stop(),)), link.number, link.uri, at())
    peers.carry_out()
    assert told(peers) == [[Told(1, SetDelta((stop(),)), ())]] * 2
    peers.core.told(SetDelta((stop("t"),)), (), "spiffe://pitwall.local/command/c2", at())
    peers.carry_out()
    assert told(peers) == [[Told(2, SetDelta((stop("t"),)), ())]] * 2, "c2 too: that is how it hears who has it on disk"
    await peers.peers[0].rung()


async def test_a_release_that_waits_is_told_behind_the_stops_that_it_names(peers: Hub) -> None:
    peers.core.request(release(), at())
    peers.core.issue(stop(), at())
    peers.carry_out()
    assert told(peers) == [[Told(1, SetDelta((stop(),)), ()), Told(2, SetDelta(), (release(),))]] * 2


async def test_an_order_is_told_in_parts_that_a_frame_can_hold(peers: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.records.MAX_OUTCOMES", 2)
    vehicle_ids = ["A", "B", "C"]
    peers.core.send(Order("q", Resume()), dict.fromkeys(vehicle_ids, ETAG), dict.fromkeys(vehicle_ids, AWAY), at())
    peers.carry_out()
    for frames in told(peers):
        orders = [frame for frame in frames if isinstance(frame, OrderRecorded)]
        assert [[one.vehicle_id for one in order.outcomes] for order in orders] == [["A", "B"], ["C"]]


async def test_waiting_for_several_things_ends_for_each_when_it_holds(hub: Hub) -> None:
    """One that has what it waited for is taken out while the others are still looked at."""

    def stops(count: int) -> Callable[[], bool]:
        return lambda: len(hub.core.ledger) >= count

    waits = [asyncio.create_task(hub.until(stops(count), 5)) for count in (1, 1, 2, 3)]
    await asyncio.sleep(0)
    for stop_id, done in (("s", 2), ("t", 3), ("u", 4)):
        hub.core.issue(stop(stop_id), at())
        hub.carry_out()
        await asyncio.sleep(0.01)
        assert [wait.done() for wait in waits] == [True] * done + [False] * (4 - done)
    assert hub._until == []


# What gateways send that can't be taken


@pytest.mark.parametrize(
    "frame",
    [
        link_pb2.AttachRequest(),
        link_pb2.AttachRequest(hello=link_pb2.GatewayHello(gateway="gateway-1")),
        link_pb2.AttachRequest(session_opened=link_pb2.SessionOpened(vehicle_id="truck 5")),
        link_pb2.AttachRequest(stop_set=stop_pb2.StopSet(stops=[stop_pb2.Stop(stop_id="x")])),
        link_pb2.AttachRequest(
            order_reports=link_pb2.OrderReports(
                reports=[vehicle_pb2.OrderReport(request_id="q", outcome=order_pb2.OrderOutcome(vehicle_id="A"))]
            )
        ),
        link_pb2.AttachRequest(session_closed=link_pb2.SessionClosed(vehicle_id="nobody")),
        link_pb2.AttachRequest(
            pulses=link_pb2.VehiclePulses(pulses=[link_pb2.VehiclePulse(vehicle_id="nobody")]),
        ),
        link_pb2.AttachRequest(
            reports=link_pb2.VehicleReports(
                reports=[
                    link_pb2.VehicleReport(
                        vehicle_id="nobody",
                        progress=[stop_pb2.StopProgress(stop_id="s", stage=99)],  # type: ignore[arg-type]
                    )
                ]
            )
        ),
    ],
    ids=lambda frame: frame.WhichOneof("body") or "empty",
)
async def test_a_frame_that_says_nothing_sensible_changes_nothing(hub: Hub, frame: link_pb2.AttachRequest) -> None:
    link = attached(hub)
    Feed(hub.core).take(link, frame)
    assert hub.core.take_effects() == []
    assert len(hub.core.registry) == 0

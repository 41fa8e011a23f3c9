"""Three command services on real TLS: what one is told all have on disk, and a majority is what counts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import order_pb2, stop_pb2
from haul.link.v1 import peer_link_service_pb2 as peer_pb2
from haul.link.v1.peer_link_service_pb2_grpc import PeerLinkServiceStub
from haul.telemetry.v1 import telemetry_pb2

from command_service.core import CommandCore
from command_service.peer import Peer
from pitwall.domain.order import OrderResult
from pitwall.ids import uuid7
from pitwall.rpc.channel import open_channel
from pitwall.rpc.errors import from_rpc_error
from pitwall.tls import channel_credentials
from tests.integration.command_rig import (
    BRAKING,
    FLEET,
    RECEIVED,
    STANDSTILL,
    Operator,
    RawGateway,
    Site,
    make_home,
    running,
    session,
    tls,
    vehicles,
)
from tests.support.ports import free_port

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"
ONE, TWO, THREE = "command-1", "command-2", "command-3"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


@dataclass
class Members:
    """The site's command services, of which some run."""

    home: Path
    folder: Path
    links: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in (ONE, TWO, THREE)})
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)

    def journal(self, name: str) -> Path:
        return self.folder / name / "journal.sqlite"

    async def start(self, *names: str, first_start: bool = True) -> None:
        for name in names:
            self.stacks[name] = AsyncExitStack()
            changes = {
                "name": name,
                "link_address": f"127.0.0.1:{self.links[name]}",
                "first_start": first_start,
                "peers": {peer: f"localhost:{port}" for peer, port in self.links.items() if peer != name},
                "tls": tls(self.home, name),
            }
            service = running(self.home, self.folder / name, **changes)
            self.sites[name] = await self.stacks[name].enter_async_context(service)

    async def end(self, *names: str) -> None:
        for name in names:
            del self.sites[name]
            await self.stacks.pop(name).aclose()

    async def exchanged(self, *names: str) -> None:
        """Each of these tells each other one."""
        for name in names:
            peers = [peer for peer in self.sites[name].service.hub.peers if peer.name in names]
            await self.sites[name].until(partial(_greeted, peers))

    def core(self, name: str) -> CommandCore:
        return self.sites[name].service.hub.core

    async def until(self, name: str, holds: Callable[[CommandCore], bool]) -> None:
        """Waits for something that this one knows."""
        await self.sites[name].until(lambda: holds(self.core(name)))

    async def stop(self, name: str, stop_id: str, journaled_by: int) -> stop_pb2.StopState:
        """As this one shows it once so many have it on disk."""

        def holds(core: CommandCore) -> bool:
            return stop_id in core.stops and len(core.ledger[stop_id].journaled_by) == journaled_by

        await self.until(name, holds)
        return await (await self.operator(name)).state(stop_id)

    async def operator(self, name: str, role: str = "operator") -> Operator:
        return await self.sites[name].operator(role)

    async def gateway(self, name: str, gateway: str = "gateway-1") -> RawGateway:
        return await self.sites[name].gateway(gateway)


def _greeted(peers: Iterable[Peer]) -> bool:
    return all(peer.greeted for peer in peers)


@pytest.fixture
async def members(home: Path, tmp_path: Path) -> AsyncIterator[Members]:
    found = Members(home, tmp_path)
    yield found
    await found.end(*list(found.sites))


# Stops


async def test_a_stop_through_one_is_on_every_disk_and_at_every_gateway(members: Members) -> None:
    await members.start(ONE, TWO, THREE)
    await members.exchanged(ONE, TWO, THREE)
    gateway = await members.gateway(THREE)
    await gateway.exchanged(session(A))
    stop_id = (await (await members.operator(ONE)).stopped(vehicles(A))).stop.stop_id
    pushed = await gateway.frame("stop_set", 2)
    assert [stop.stop_id for stop in pushed.stop_set.stops] == [stop_id]
    for name in (ONE, TWO, THREE):
        state = await members.stop(name, stop_id, 3)
        assert state.summary.confirmed
        assert state.summary.command_services == 3
        assert state.summary.HasField("brakes_by_time")


async def test_one_alone_stops_and_says_that_it_is_not_confirmed(members: Members) -> None:
    await members.start(ONE)
    gateway = await members.gateway(ONE)
    await gateway.exchanged(session(A))
    operator = await members.operator(ONE)
    first = await operator.stop(vehicles(A)).next()
    await gateway.frame("stop_set", 2)
    state = await members.stop(ONE, first.stop.stop_id, 1)
    assert not state.summary.confirmed
    assert not state.summary.HasField("brakes_by_time")
    await members.start(TWO)
    for name in (ONE, TWO):
        assert (await members.stop(name, first.stop.stop_id, 2)).summary.confirmed


async def test_what_was_stopped_while_one_was_away_it_hears_when_it_comes_back(members: Members) -> None:
    await members.start(ONE, TWO, THREE)
    await members.end(THREE)
    stop_id = (await (await members.operator(TWO)).stopped(FLEET)).stop.stop_id
    await members.start(THREE)
    state = await members.stop(THREE, stop_id, 3)
    assert state.active


# What vehicles say


async def test_one_that_hears_no_gateway_shows_what_its_peers_hear(members: Members) -> None:
    await members.start(ONE, TWO, THREE)
    await members.exchanged(ONE, TWO, THREE)
    gateways = [await members.gateway(name) for name in (TWO, THREE)]
    for gateway in gateways:
        await gateway.exchanged(session(A), session(B))
    operator = await members.operator(ONE)
    stop_id = (await operator.stopped(FLEET)).stop.stop_id
    await members.until(ONE, lambda core: core.ledger.summary(stop_id).pending == 2)
    for gateway in gateways:
        await gateway.frame("stop_set", 2)
        await gateway.say(A, stop_id, RECEIVED, BRAKING, STANDSTILL, durably=True)
    state = await operator.until(stop_id, lambda state: state.summary.standstill == 1)
    assert (state.summary.in_scope, state.summary.pending, state.summary.unreachable) == (2, 1, 0)
    [there] = [vehicle for vehicle in state.vehicles if vehicle.vehicle_id == A]
    assert there.latched_durably
    assert [one.stage for one in there.progress][-3:] == [RECEIVED, BRAKING, STANDSTILL]
    assert members.sites[ONE].service.hub.asked == {TWO: {"gateway-1"}}
    # It has no link for orders, and says so.
    assert (await operator.motion(A)).connectivity == telemetry_pb2.CONNECTIVITY_LOST
    # When it hears the gateways itself it asks nobody; without all of that it knows nothing of them.
    mine = await members.gateway(ONE)
    await mine.exchanged(session(A, 1, stop_id), session(B))
    await members.until(ONE, lambda core: not any(v.told_by for v in core.registry.vehicles()))
    assert members.core(ONE).ledger.summary(stop_id).unreachable == 0
    mine.call.cancel()
    await members.until(ONE, lambda core: core.ledger.summary(stop_id).pending == 1)
    await members.end(TWO, THREE)
    await members.until(ONE, lambda core: core.ledger.summary(stop_id).unreachable == 2)


# Releases


async def test_a_release_takes_a_majority_and_any_of_them_may_be_asked(members: Members) -> None:
    await members.start(ONE, TWO)
    await members.exchanged(ONE, TWO)
    stop_id = (await (await members.operator(ONE)).stopped(vehicles(A))).stop.stop_id
    request = command_pb2.RequestReleaseRequest(release_id=uuid7(), stop_ids=[stop_id], reason="area is clear")
    await (await members.operator(ONE)).call("RequestRelease", request)
    await members.until(TWO, lambda core: core.releases.get(request.release_id) is not None)
    approve = command_pb2.ApproveReleaseRequest(release_id=request.release_id)
    record = await (await members.operator(TWO, "supervisor")).call("ApproveRelease", approve)
    assert record.state == stop_pb2.RELEASE_STATE_APPROVED
    for name in (ONE, TWO):
        await members.until(name, lambda core: not core.stops.is_active(stop_id))


async def test_a_release_that_one_alone_has_on_disk_lets_nobody_go(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.release_desk.JOURNAL_WAIT_S", 0.3)
    await members.start(ONE, TWO)
    await members.exchanged(ONE, TWO)
    stop_id = (await (await members.operator(ONE)).stopped(vehicles(A))).stop.stop_id
    await members.stop(ONE, stop_id, 2)
    await members.end(TWO)
    request = command_pb2.RequestReleaseRequest(release_id=uuid7(), stop_ids=[stop_id], reason="area is clear")
    await (await members.operator(ONE)).call("RequestRelease", request)
    approve = command_pb2.ApproveReleaseRequest(release_id=request.release_id)
    refusal = await (await members.operator(ONE, "supervisor")).refused("ApproveRelease", approve)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "NOT_JOURNALED")
    assert members.core(ONE).stops.is_active(stop_id)
    # Neither does a restart, though the approval is on its disk.
    await members.end(ONE)
    await members.start(ONE, first_start=False)
    assert members.core(ONE).stops.is_active(stop_id)
    # A second disk makes the majority, without anybody asking again.
    await members.start(TWO, first_start=False)
    for name in (ONE, TWO):
        await members.until(name, lambda core: not core.stops.is_active(stop_id))


async def test_of_two_releases_of_one_id_one_at_most_lets_anybody_go(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for and approved at two that don't hear each other. The third one decides, for all of them."""
    monkeypatch.setattr("command_service.release_desk.JOURNAL_WAIT_S", 0.2)
    await members.start(ONE, TWO)
    await members.exchanged(ONE, TWO)
    stop_ids = [
        (await (await members.operator(ONE)).stopped(vehicles(vehicle_id))).stop.stop_id for vehicle_id in (A, B)
    ]
    await members.end(ONE, TWO)
    release_id = uuid7()
    approve = command_pb2.ApproveReleaseRequest(release_id=release_id)
    for name, stop_id in zip((ONE, TWO), stop_ids, strict=True):
        await members.start(name, first_start=False)
        request = command_pb2.RequestReleaseRequest(release_id=release_id, stop_ids=[stop_id], reason="area is clear")
        await (await members.operator(name)).call("RequestRelease", request)
        refusal = await (await members.operator(name, "supervisor")).refused("ApproveRelease", approve)
        assert refusal.reason == "NOT_JOURNALED"
        await members.end(name)
    await members.start(ONE, TWO, first_start=False)
    for name in (ONE, TWO):
        await members.until(name, lambda core: bool((entry := core.releases.get(release_id)) and entry.rival))
        refusal = await (await members.operator(name, "supervisor")).refused("ApproveRelease", approve)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RELEASE_ID_REUSED")
        assert all(map(members.core(name).stops.is_active, stop_ids))
    await members.start(THREE)
    for name in (ONE, TWO, THREE):
        await members.until(name, lambda core: sum(map(core.stops.is_active, stop_ids)) == 1)
    assert len({members.core(name).stops.is_active(stop_ids[0]) for name in (ONE, TWO, THREE)}) == 1


# A journal that was lost


def lose(members: Members, name: str) -> None:
    for path in members.journal(name).parent.iterdir():
        if ".sqlite" in path.name and not path.name.endswith((".lock", ".started")):
            path.unlink()


@pytest.mark.parametrize("first_start", [False, True], ids=["", "with first_start left in the settings"])
async def test_one_that_lost_its_journal_grants_nothing_before_both_others_have_told_all(
    members: Members, first_start: bool
) -> None:
    await members.start(ONE, TWO, THREE)
    await members.exchanged(ONE, TWO, THREE)
    stop_id = (await (await members.operator(ONE)).stopped(vehicles(A))).stop.stop_id
    await members.stop(THREE, stop_id, 3)
    await members.end(THREE, TWO)
    lose(members, THREE)
    await members.start(THREE, first_start=first_start)
    gateway = await members.gateway(THREE)
    await gateway.exchanged()
    await members.until(THREE, lambda core: core.recall.heard == 1)
    assert (await gateway.lease(1)).reason == "JOURNAL_LOST"
    assert members.core(THREE).stops.is_active(stop_id)
    await members.start(TWO)
    await members.until(THREE, lambda core: core.recall.complete)
    assert (await gateway.lease(2)).ttl.seconds == 2
    # And that it knows all again is on its disk.
    await members.end(ONE, TWO, THREE)
    await members.start(THREE, first_start=False)
    assert members.core(THREE).recall.complete


async def test_two_that_lost_their_journals_are_no_help_to_each_other(members: Members) -> None:
    await members.start(ONE, TWO, THREE)
    await members.exchanged(ONE, TWO, THREE)
    await members.end(ONE, TWO, THREE)
    lose(members, TWO)
    lose(members, THREE)
    await members.start(ONE, TWO, THREE, first_start=False)
    await members.exchanged(ONE, TWO, THREE)
    for name in (TWO, THREE):
        await members.until(name, lambda core: core.recall.heard == 1)
        assert not members.core(name).recall.complete
    for name, reason in ((ONE, ""), (TWO, "JOURNAL_LOST"), (THREE, "JOURNAL_LOST")):
        gateway = await members.gateway(name)
        await gateway.exchanged()
        assert (await gateway.lease(1)).reason == reason


# Orders


async def test_a_repeated_order_is_answered_alike_by_another_command_service(members: Members) -> None:
    await members.start(ONE, TWO)
    await members.exchanged(ONE, TWO)
    operator = await members.operator(ONE)
    gateway = await members.gateway(ONE)
    await gateway.exchanged(session(A))
    target = command_pb2.OrderTarget(vehicle_id=A, etag="7-1-1-5")
    order = order_pb2.Order(request_id=uuid7(), resume=order_pb2.Resume())
    request = command_pb2.SendOrderRequest(order=order, targets=[target])
    sending = asyncio.create_task(operator.call("SendOrder", request))
    await gateway.answer(await gateway.frame("order"), order_pb2.ORDER_RESULT_EXECUTED)
    told = await sending

    def known(core: CommandCore) -> bool:
        entry = core.orders.get(order.request_id)
        outcome = entry.outcomes[A].outcome if entry else None
        return outcome is not None and outcome.result is OrderResult.EXECUTED

    await members.until(TWO, known)
    assert await (await members.operator(TWO)).call("SendOrder", request) == told


# Who may exchange


@pytest.mark.parametrize(
    ("certificate", "name", "reason"),
    [
        ("command-2", "command-3", "WRONG_NAME"),
        ("command-3", "command-3", "NOT_A_PEER"),
        ("gateway-1", "", "WRONG_KIND"),
    ],
)
async def test_only_the_peers_of_this_site_exchange(
    home: Path, tmp_path: Path, certificate: str, name: str, reason: str
) -> None:
    peers = {"command-2": "localhost:1", "command-4": "localhost:2"}
    async with running(home, tmp_path, peers=peers) as site:
        channel = open_channel(f"localhost:{site.ports[1]}", channel_credentials(tls(home, certificate)))
        async with channel:
            call = PeerLinkServiceStub(channel).Exchange()
            if name:  # a wrong kind is refused before a word; a write that meets that would end as INTERNAL
                hello = peer_pb2.PeerHello(command_service=name, protocol_version=1)
                await call.write(peer_pb2.ExchangeRequest(frame=peer_pb2.PeerFrame(hello=hello)))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await anext(message async for message in call if message.frame.WhichOneof("body") != "hello")
    error = from_rpc_error(refused.value)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)


async def test_a_site_has_one_three_or_five(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='"peers" must name 0 or 2 or 4'):
        async with running(home, tmp_path, peers={"command-2": "localhost:1"}):
            pass

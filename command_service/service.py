"""A command service put together: journal, core, two ports, export, status."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Final

from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1.command_service_pb2_grpc import add_CommandServiceServicer_to_server
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import peer_link_service_pb2 as peer_pb2
from haul.link.v1.gateway_link_service_pb2_grpc import add_GatewayLinkServiceServicer_to_server
from haul.link.v1.peer_link_service_pb2_grpc import add_PeerLinkServiceServicer_to_server
from opentelemetry import metrics

from command_service.config import CommandSettings
from command_service.core import CommandCore
from command_service.export import Exporter, make_bridge
from command_service.gateways import GatewayLinkServicer
from command_service.hub import Hub, moment
from command_service.journal import Journal
from command_service.link_streams import LINK_LIMITS
from command_service.lists import Lists
from command_service.order_desk import OrderDesk
from command_service.peer import Peer
from command_service.peer_link import PeerLink
from command_service.peers import PeerLinkServicer
from command_service.refusals import Refusals
from command_service.release_desk import ReleaseDesk
from command_service.replay import STOP_RETENTION, restore
from command_service.servicer import CommandServicer
from command_service.stop_desk import StopDesk
from command_service.store import JournalProblem, Reader, Store
from command_service.watch import MAX_WATCHERS
from pitwall import logs, wire
from pitwall.clock import boottime_s
from pitwall.instruments import gauge, gauges
from pitwall.observability import LoopLag, Part, Parts, serve_status
from pitwall.program import together
from pitwall.rpc.interceptors import operator_interceptors, peer_interceptors
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.places import MAX_OTHERS, MAX_WAITING_AT_ONCE
from pitwall.rpc.server import RpcServer, build_server
from pitwall.surroundings import Surroundings
from pitwall.tls import channel_credentials, server_credentials
from pitwall.tokens import TokenVerifier

#: A request may name 10,000 vehicles. A console has a few streams; one connection can't take what all of them share,
#: and one that says nothing is closed.
OPERATOR_LIMITS: Final = RpcLimits(
    max_receive_bytes=4 * 1024 * 1024,
    max_send_bytes=32 * 1024 * 1024,
    max_streams_per_connection=100,
    max_connection_idle_s=300.0,
    handshake_timeout_s=20.0,
)
#: How long calls under way may take to end when the process does.
STOP_GRACE_S: Final = 1.0
#: How long the journal may take to write what waits when the process ends.
JOURNAL_CLOSE_S: Final = 5.0
COMPACT_EVERY_S: Final = 3600.0

_OPERATOR_SERVICE: Final = command_pb2.DESCRIPTOR.services_by_name["CommandService"].full_name
_GATEWAY_SERVICE: Final = link_pb2.DESCRIPTOR.services_by_name["GatewayLinkService"].full_name
_PEER_SERVICE: Final = peer_pb2.DESCRIPTOR.services_by_name["PeerLinkService"].full_name

_log = logs.get(__name__)

# Whatever waits, runs and watches, gRPC itself has a place for one more stop.
assert OPERATOR_LIMITS.max_concurrent_rpcs / 2 > 2 * MAX_WAITING_AT_ONCE + MAX_OTHERS + MAX_WATCHERS


class CommandService:
    """To be made within the event loop. Raises JournalProblem, InvalidCredentials, PortTaken; then nothing is left."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Serves when this returns."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        credentials = partial(server_credentials, settings.tls, require_client=False)
        credentials()  # bad ones end it before anything is opened
        verifier = TokenVerifier.open(settings.jwks)
        peers = [Peer(name, address) for name, address in settings.peers.items()]
        first_start = settings.first_start
        store = Store.open(settings.journal, settings.name, first_start=first_start, has_peers=bool(peers))
        core = self._restored(store)
        exported = store.exported
        self.journal = Journal(store)
        stack.push_async_callback(self._close_journal)
        self.hub = Hub(core, self.journal, peers)
        self.hub.carry_out()
        reader = Reader(settings.journal)
        self._refusals = Refusals(self.journal)
        self._exporter = self._make_exporter(reader, exported)
        self._gateways = GatewayLinkServicer(self.hub, settings.lease_ttl_s)
        self._peers = PeerLinkServicer(self.hub, settings.peers)
        self._link = self._link_port()
        stack.push_async_callback(self._link.stop, STOP_GRACE_S)
        operators = operator_interceptors(verifier, self._refusals.note)
        self._operator = build_server(
            settings.operator_address, credentials, operators, OPERATOR_LIMITS, reflection=(_OPERATOR_SERVICE,)
        )
        stack.push_async_callback(self._operator.stop, STOP_GRACE_S)
        add_CommandServiceServicer_to_server(self._servicer(reader), self._operator.server)
        self._status = serve_status(settings.metrics_address, self._health)
        await self._status.start()
        stack.push_async_callback(self._status.stop)
        self._measure()
        await self._link.start()
        await self._operator.start()

    def _restored(self, store: Store) -> CommandCore:
        settings = self._settings
        core = CommandCore(settings.name, settings.members, settings.terms, complete=store.complete)
        at = moment()
        try:
            records = restore(core, store.vehicles(), store.replay(), at)
        except (JournalProblem, wire.InvalidMessage) as error:
            store.close()
            if isinstance(error, JournalProblem):
                raise
            raise JournalProblem(f"{store.path}: {error}; run the version that wrote it") from error
        core.compact(datetime.now(UTC) - STOP_RETENTION)
        if not core.recall.complete:
            peers = core.recall.peers
            _log.warning("the journal was lost: no lease is granted before peers have told all of it", peers=peers)
        _log.info("journal replayed", records=records, seconds=moment().s - at.s, active_stops=core.stops.active_count)
        return core

    def _make_exporter(self, reader: Reader, exported: int) -> Exporter | None:
        bootstrap, name = self._settings.kafka_bootstrap, self._settings.name
        return Exporter(self.journal, reader, exported, make_bridge(bootstrap, name), name) if bootstrap else None

    def _link_port(self) -> RpcServer:
        kinds = {_GATEWAY_SERVICE: frozenset({"gateway"}), _PEER_SERVICE: frozenset({"command"})}
        server = build_server(
            self._settings.link_address,
            partial(server_credentials, self._settings.tls, require_client=True),
            peer_interceptors(kinds, self._refusals.note),
            LINK_LIMITS,
            health=False,
        )
        add_GatewayLinkServiceServicer_to_server(self._gateways, server.server)
        add_PeerLinkServiceServicer_to_server(self._peers, server.server)
        return server

    def _servicer(self, reader: Reader) -> CommandServicer:
        releases = ReleaseDesk(self.hub, self._settings.approvals)
        lists = Lists(self.hub.core, reader)
        return CommandServicer(self.hub, StopDesk(self.hub), releases, OrderDesk(self.hub), lists)

    @property
    def ports(self) -> tuple[int, int, int]:
        """Operators', links', status."""
        return self._operator.port, self._link.port, self._status.port

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop. Raises where a part of it has ended by a defect."""
        works = [self.hub.run(), LoopLag().run(), self._compact(), stopping.wait(), self._journal_died()]
        credentials = partial(channel_credentials, self._settings.tls)
        works += [PeerLink(peer, self.hub, credentials).run() for peer in self.hub.peers]
        if self._exporter is not None:
            works.append(self._exporter.run())
        await together(works)

    async def stop(self) -> None:
        """Gateways look elsewhere at once, calls under way end, the journal is written."""
        self._gateways.stop()
        self._peers.stop()
        await self._stack.aclose()

    async def _journal_died(self) -> None:
        await self.journal.died
        raise RuntimeError(self.journal.trouble)

    async def _compact(self) -> None:
        while True:
            await asyncio.sleep(COMPACT_EVERY_S)
            gone = self.hub.core.compact(datetime.now(UTC) - STOP_RETENTION)
            if gone:
                _log.info("stops forgotten", count=gone, older_than_days=STOP_RETENTION.days)

    async def _close_journal(self) -> None:
        if not await self.journal.close(JOURNAL_CLOSE_S):
            _log.error("records lost, the disk did not take them", waiting=self.journal.waiting)

    def _health(self) -> Parts:
        registry, links, recall = self.hub.core.registry, self.hub.links, self.hub.core.recall
        parts = {
            "journal": Part(self.journal.healthy(boottime_s()), self.journal.trouble or f"at {self.journal.sequence}"),
            "gateways": Part(bool(links), self._gateways_attached(), required=False),
            "vehicles": Part(True, f"{registry.connected_count} connected of {len(registry)}", required=False),
        }
        if self.hub.peers:
            greeted = [peer.greeted for peer in self.hub.peers]
            parts["peers"] = Part(all(greeted), f"{sum(greeted)} of {len(greeted)} told", required=False)
        if not recall.complete:
            told = recall.peers - recall.silent
            also = f", {told - recall.heard} of them after losing theirs" if told > recall.heard else ""
            parts["journal"] = Part(False, f"lost; {told} of {recall.peers} peers have told all they know{also}")
        if self._exporter is not None:
            parts["vehicle-commands"] = Part(self._exporter.healthy, self._exporter.detail, required=False)
        return parts

    def _gateways_attached(self) -> str:
        asked = self.hub.asked.items()
        by_peers = "".join(f", {', '.join(sorted(gateways))} by {peer}" for peer, gateways in sorted(asked))
        return f"{len(self.hub.links)} attached{by_peers}"

    def _measure(self) -> None:
        meter, hub = metrics.get_meter("command_service"), self.hub
        gauge(meter, "pitwall.gateways.attached", "Streams from gateways", lambda: hub.figures.gateways)
        gauge(meter, "pitwall.vehicles.known", "Ever connected", lambda: hub.figures.vehicles)
        gauge(meter, "pitwall.vehicles.connected", "With a link now", lambda: hub.figures.connected)
        gauge(meter, "pitwall.vehicles.lost", "Without a link, not OFFLINE", lambda: hub.figures.lost)
        gauge(meter, "pitwall.stops.known", "In the ledger, with those released", lambda: hub.figures.stops)
        gauge(meter, "pitwall.stops.active", "Not released for every vehicle", lambda: hub.figures.active)
        text = "Gateways that peers tell of, and that have no stream to this service"
        gauge(meter, "pitwall.gateways.by_peers", text, lambda: hub.figures.by_peers)
        text = "Stops and releases in force that wait for room among those that wait for the disk"
        gauge(meter, "pitwall.journal.no_room.records", text, lambda: hub.figures.unjournaled)
        text = "Peers that this service tells what it knows"
        gauge(meter, "pitwall.peers.told", text, lambda: sum(peer.greeted for peer in hub.peers))
        text = "Vehicles in scope of stops, once for each stop, by how far they are"
        gauges(meter, "pitwall.stop.vehicles", text, "state", lambda: hub.figures.states)
        gauge(meter, "pitwall.stop.vehicles.overdue", "Those whose next stage is late", lambda: hub.figures.overdue)
        gauge(meter, "pitwall.orders.under_way", "Without an outcome yet", lambda: hub.figures.orders)
        gauge(meter, "pitwall.watchers", "Streams of stops", lambda: hub.figures.watchers)
        tls = self._settings.tls
        Surroundings({"journal": self._settings.journal.parent}, {"own": [tls.certificate], "ca": [tls.ca]}).watch()

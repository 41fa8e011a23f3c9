"""The parts of one gateway, put together, started and stopped in order."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import cycle

from ingest_gateway.admission import Admission
from ingest_gateway.command_link import CommandLink
from ingest_gateway.config import GatewaySettings
from ingest_gateway.from_site import FromSite
from ingest_gateway.hub import Hub
from ingest_gateway.leave import Leave
from ingest_gateway.limits import (
    BEATS_PER_LEASE,
    COMPACT_EVERY_S,
    CONNECTION_IDLE_S,
    DRAIN_S,
    FLUSH_S,
    HANDSHAKE_WITHIN_S,
    MAX_BATCH_BYTES,
    MAX_FRAME_BYTES,
    MAX_STREAMS_PER_VEHICLE,
    PERMIT_RIDES_S,
    PULSE_S,
    PULSE_TURNS,
    STOP_GRACE_S,
    STOP_RETENTION_DAYS,
    TICK_S,
)
from ingest_gateway.links import Links
from ingest_gateway.meters import Meters
from ingest_gateway.moment import Moment
from ingest_gateway.servicer import VehicleLinkServicer, add_to
from ingest_gateway.sink import Sink
from ingest_gateway.terms import Terms
from pitwall import collector
from pitwall.clock import boottime_s, wall_time
from pitwall.domain.permit import PermitTerms
from pitwall.ids import uuid7
from pitwall.kafka import DeliveryBridge, producer_config
from pitwall.observability import LoopLag, Part, Parts, serve_status
from pitwall.rpc.interceptors import peer_interceptors
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.server import build_server
from pitwall.surroundings import Surroundings
from pitwall.tls import channel_credentials, server_credentials

#: A connection is one vehicle's.
VEHICLE_LIMITS = RpcLimits(
    max_receive_bytes=MAX_FRAME_BYTES,
    receive_window_bytes=MAX_BATCH_BYTES,
    max_streams_per_connection=MAX_STREAMS_PER_VEHICLE,
    max_connection_idle_s=CONNECTION_IDLE_S,
    handshake_timeout_s=HANDSHAKE_WITHIN_S,
    # Frames down are small but for stop sets: 8 KB less of a thousand vehicles each.
    tls_record_bytes=1024,
)

_log = logging.getLogger(__name__)


def read_clocks() -> Moment:
    return Moment(boottime_s(), time.time_ns())


class Gateway:
    """Build it within the event loop. Raises PortTaken and InvalidCredentials."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.meters = Meters()
        terms = PermitTerms(settings.lease_ttl_s, settings.permit_ttl_s)
        self.leave = Leave(settings.command_services, terms, boottime_s())
        self.links = Links(settings.command_services)
        self.sink = _sink(settings)
        session_terms = Terms(
            settings.name,
            settings.permit_ttl_s,
            settings.max_unacked_readings,
            settings.rates,
            settings.max_lent_readings,
            settings.lent_pool,
        )
        self.hub = Hub(session_terms, self.leave, self.links, self.sink, self.meters, read_clocks)
        self.sink.listen(self.hub)
        self.admission = Admission(settings.max_sessions, self.meters.turned_away)
        self.server = build_server(
            settings.vehicle_address,
            partial(server_credentials, settings.tls, require_client=True),
            peer_interceptors(frozenset({"vehicle"})),
            VEHICLE_LIMITS,
            # Probes ask /healthz. Here a vehicle's certificate would get calls that Admission doesn't count.
            health=False,
        )
        add_to(self.server.server, VehicleLinkServicer(self.hub, self.admission))
        self.status = serve_status(settings.metrics_address, self.health)
        self._tasks: list[asyncio.Task[None]] = []
        self._observe()

    async def start(self) -> None:
        await self.status.start()
        await self.server.start()
        site = FromSite(self.hub, self._settings.name, uuid7(), self.meters, read_clocks)
        credentials = partial(channel_credentials, self._settings.tls)
        links = [CommandLink(end, site, credentials).run() for end in self.links.ends]
        turns = cycle(range(PULSE_TURNS))
        timers = [
            every(self._settings.lease_ttl_s / BEATS_PER_LEASE, self.hub.beat),
            every(PULSE_S / PULSE_TURNS, lambda: self.hub.pulse(next(turns))),
            every(TICK_S, self.hub.tick),
            every(PERMIT_RIDES_S, self.hub.end_rides),
            every(COMPACT_EVERY_S, self._compact),
            LoopLag().run(),
        ]
        self._tasks = [asyncio.create_task(coroutine) for coroutine in (*links, *timers)]
        collector.settle()
        _log.info("serving vehicles on port %d", self.server.port)
        _log.info("metrics and health on port %d", self.status.port)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`. A part that ends by itself ends the process: its supervisor starts it anew."""
        waiter = asyncio.create_task(stopping.wait())
        done, _ = await asyncio.wait([waiter, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        for task in done - {waiter}:
            task.result()

    async def stop(self) -> None:
        """Asks vehicles to move, waits for them and for Kafka, each within its limit."""
        self.admission.draining = True
        self.hub.drain(DRAIN_S)
        await self.admission.wait_empty(DRAIN_S)
        await self.server.stop(STOP_GRACE_S)
        await self.sink.close(FLUSH_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.status.stop()

    def health(self) -> Parts:
        remaining_s = self.leave.remaining_s(boottime_s())
        attached = f"{self.links.exchanged_count} of {len(self.links.ends)} exchanged"
        return {
            "command_services": Part(remaining_s > 0, f"{attached}, leave for {remaining_s:.1f} s"),
            "kafka": Part(
                self.sink.trouble is None, self.sink.trouble or f"{self.sink.in_flight} records in flight", False
            ),
        }

    def _compact(self) -> None:
        self.hub.board.compact(wall_time() - timedelta(days=STOP_RETENTION_DAYS))

    def _observe(self) -> None:
        meters, hub = self.meters, self.hub
        meters.gauge("sessions", "Vehicles with an open stream", lambda: len(hub.registry))
        meters.gauge("streams", "Open streams, also those without a Hello yet", lambda: hub.stream_count)
        meters.gauge("loans", "Vehicles that bring history, with more than their share on its way", hub.loans.__len__)
        meters.gauge("links", "Command services with exchanged sets", lambda: self.links.exchanged_count)
        tls = self._settings.tls
        Surroundings({}, {"own": [tls.certificate], "ca": [tls.ca]}).watch()
        meters.total("sleeps", "Times this process has found itself asleep", lambda: self.leave.sleeps)


def _sink(settings: GatewaySettings) -> Sink:
    most = settings.max_readings_in_flight
    config = producer_config(settings.kafka_bootstrap, f"ingest_gateway-{settings.name}", most)
    return Sink(settings.name, partial(DeliveryBridge, config, max_in_flight=most))


async def every(seconds: float, do: Callable[[], None]) -> None:
    """Runs something again and again, until it is cancelled."""
    while True:
        do()
        await asyncio.sleep(seconds)

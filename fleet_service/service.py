"""A fleet service put together: stores, topics, desks, the operators' port, status."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1.fleet_service_pb2_grpc import add_FleetServiceServicer_to_server
from opentelemetry import metrics

from fleet_service.cache import Cache, Mirror
from fleet_service.config import FleetSettings
from fleet_service.fleet import Fleet
from fleet_service.gap_desk import GapDesk
from fleet_service.gap_keeper import GapKeeper
from fleet_service.lists import Lists
from fleet_service.publisher import Publisher
from fleet_service.registry_desk import RegistryDesk
from fleet_service.servicer import FleetServicer
from fleet_service.sources import Sources
from fleet_service.statistics_desk import StatisticsDesk
from fleet_service.store import Store
from pitwall.clock import wall_time
from pitwall.instruments import gauge, gauges, total
from pitwall.observability import LoopLag, Part, Parts, serve_status
from pitwall.program import together
from pitwall.rpc.interceptors import operator_interceptors
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.server import build_server
from pitwall.surroundings import Surroundings
from pitwall.tls import server_credentials
from pitwall.tokens import TokenVerifier

#: A page of 1,000 vehicles has about 1 MB.
OPERATOR_LIMITS: Final = RpcLimits(max_receive_bytes=1024 * 1024, max_send_bytes=16 * 1024 * 1024)
#: How long calls under way may take to end when the process does.
STOP_GRACE_S: Final = 1.0

_SERVICE: Final = fleet_pb2.DESCRIPTOR.services_by_name["FleetService"].full_name


class FleetService:
    """To be made within the event loop. `start` raises InvalidCredentials, PortTaken; then nothing is left."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.fleet = Fleet(wall_time)
        self.store = Store(settings.postgres, settings.name)
        self.cache = Cache(settings.redis_address)
        self.sources = Sources(self.fleet, self.store, self.cache, settings.kafka_bootstrap, settings.name)
        self._mirror = Mirror(self.cache, self.fleet)
        self.gaps = GapKeeper(self.store, settings.kafka_bootstrap, settings.name, self.fleet.deleted)
        self.gap_desk = GapDesk(self.gaps)
        self.publisher = Publisher(self.fleet, self.store, settings.kafka_bootstrap, settings.name)
        self.lists = Lists(self.fleet, self.store, self.gap_desk, lambda: self.sources.ready, self._stale)
        self.statistics = StatisticsDesk(self.fleet, self.cache, self._stale)

    async def start(self) -> None:
        """Serves when this returns; what it knows comes as `run` goes on."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        credentials = partial(server_credentials, settings.tls, require_client=False)
        credentials()  # bad ones end it before anything is opened
        interceptors = operator_interceptors(TokenVerifier.open(settings.jwks))
        stack.push_async_callback(self.store.close)
        stack.push_async_callback(self.cache.close)
        stack.push_async_callback(self.sources.close)
        stack.push_async_callback(self.gaps.close)
        stack.push_async_callback(self.publisher.close)
        self._status = serve_status(settings.metrics_address, self._health)
        await self._status.start()
        stack.push_async_callback(self._status.stop)
        self._operator = build_server(
            settings.operator_address, credentials, interceptors, OPERATOR_LIMITS, reflection=(_SERVICE,)
        )
        stack.push_async_callback(self._operator.stop, STOP_GRACE_S)
        servicer = FleetServicer(self.lists, RegistryDesk(self.fleet, self.store), self.statistics, self.gap_desk)
        add_FleetServiceServicer_to_server(servicer, self._operator.server)
        self._measure()
        await self._operator.start()

    @property
    def ports(self) -> tuple[int, int]:
        """Operators', status."""
        return self._operator.port, self._status.port

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop. Raises where a part of it has ended by a defect."""
        works = (
            self.store.run(),
            self.sources.run(),
            self.gaps.run(),
            self.publisher.run(),
            self._mirror_when_ready(),
            self.statistics.run(),
            self.lists.vehicle_watchers.run(),
            self.lists.alert_watchers.run(),
            LoopLag().run(),
            stopping.wait(),
        )
        await together(works)

    async def stop(self) -> None:
        await self._stack.aclose()

    async def _mirror_when_ready(self) -> None:
        """Before anything is loaded an empty fleet would say nothing, and later nothing wrong."""
        await self.store.connected.wait()
        await self._mirror.run()

    def _stale(self) -> bool:
        return self.sources.stale or self.store.trouble is not None

    def _health(self) -> Parts:
        parts = {
            "registry": Part(self.sources.ready, f"{len(self.fleet)} vehicles" if self.sources.ready else "not read"),
            "postgresql": _part(self.store.trouble),
            "redis": _part(self.cache.trouble),
        }
        for intake in self.sources.intakes:
            detail = intake.trouble or f"{intake.lag} records behind"
            parts[intake.topic.name] = Part(intake.trouble is None, detail, required=False)
        text = self.gaps.trouble or f"{self.gaps.lag} records behind"
        parts["gap ledger"] = Part(self.gaps.trouble is None, text, required=False)
        publisher = self.publisher
        parts[publisher.intake.topic.name] = Part(publisher.trouble is None, publisher.detail, required=False)
        for what, trouble in self.sources.writer.troubles.items():
            parts[f"stored {what}"] = Part(False, trouble, required=False)
        return parts

    def _measure(self) -> None:
        meter, lists = metrics.get_meter("fleet_service"), self.lists
        gauge(meter, "pitwall.fleet.vehicles", "In the registry", lambda: len(self.fleet))
        gauge(meter, "pitwall.fleet.alerts.open", "Open alerts", lambda: self.fleet.alerts.open_total)
        text = "Records of vehicles beyond the most that are kept"
        total(meter, "pitwall.fleet.turned_away.records", text, lambda: self.fleet.turned_away)
        gauge(meter, "pitwall.fleet.watchers", "Streams of vehicles", lambda: lists.vehicle_watchers.count)
        gauge(meter, "pitwall.fleet.alert_watchers", "Streams of alerts", lambda: lists.alert_watchers.count)
        text = "Records in the topic that are not read yet"
        gauges(meter, "pitwall.kafka.consumer.lag.records", text, "topic", self._lags)
        self.gaps.measure(meter)
        self.publisher.measure(meter)
        tls = self._settings.tls
        Surroundings({}, {"own": [tls.certificate], "ca": [tls.ca]}).watch()

    def _lags(self) -> Mapping[str, float]:
        return {intake.topic.name: float(intake.lag) for intake in self.sources.intakes}


def _part(trouble: str | None) -> Part:
    return Part(trouble is None, trouble or "", required=False)

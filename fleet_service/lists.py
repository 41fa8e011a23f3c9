"""The lists that callers page through, single vehicles, and what watchers are shown."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2

from fleet_service import answers, tables, views
from fleet_service.alerts import Alert
from fleet_service.filter_fields import ALERT_FIELDS, METRICS_FIELDS, VEHICLE_FIELDS
from fleet_service.filters import Value
from fleet_service.fleet import Fleet, Vehicle
from fleet_service.gap_desk import GapDesk
from fleet_service.records import WindowFigures
from fleet_service.store import Store
from fleet_service.watch import MAX_ITEMS, News, Watchers
from pitwall.clock import wall_time
from pitwall.rpc.errors import Unavailable

#: Whom callers ask for who want the whole fleet's windows, and what those have for a vehicle_id.
THE_FLEET: Final = "-"
OF_THE_FLEET: Final = ""

_ALERT_KEY: Final = (int, str)
_WINDOW_KEY: Final = (int, int)


class Lists:
    """`ready`: whether the registry has been read; `stale`: whether what is known may be old."""

    def __init__(
        self, fleet: Fleet, store: Store, gaps: GapDesk, ready: Callable[[], bool], stale: Callable[[], bool]
    ) -> None:
        self._fleet, self._store, self._gaps = fleet, store, gaps
        self._ready, self._stale = ready, stale
        self.vehicle_watchers = Watchers(fleet.vehicle_changes)
        self.alert_watchers = Watchers(fleet.alert_changes)

    def check_ready(self) -> None:
        """Raises Unavailable until the registry has been read once."""
        if not self._ready():
            raise Unavailable("NOT_READY", f"the registry has not been read yet: {self._store.trouble or 'under way'}")

    async def vehicles(self, request: fleet_pb2.ListVehiclesRequest) -> fleet_pb2.ListVehiclesResponse:
        chosen = answers.parsed_filter(request.filter, VEHICLE_FIELDS)
        asked = answers.asked_page(request.page_size, request.page_token, f"ListVehicles {request.filter}", (str,))
        self.check_ready()
        after = str(asked.after[0]) if asked.after else ""
        found: list[Vehicle] = []
        for vehicle in self._fleet.vehicles():
            if vehicle.entry.vehicle_id > after and chosen.matches(_vehicle_fields(vehicle)):
                found.append(vehicle)
                if len(found) > asked.size:
                    break
        page = asked.cut(found, lambda vehicle: (vehicle.entry.vehicle_id,))
        answer = fleet_pb2.ListVehiclesResponse(next_page_token=page.next_token, stale=self._stale())
        now_ns = _now_ns()
        for first in range(0, len(page.items), MAX_ITEMS):
            answer.vehicles.extend(views.vehicle(vehicle, now_ns) for vehicle in page.items[first : first + MAX_ITEMS])
            await asyncio.sleep(0)  # a page of 1,000 would hold everybody else up for 70 ms
        return answer

    def vehicle(self, vehicle_id: str) -> vehicle_pb2.Vehicle:
        answers.checked_vehicle_id(vehicle_id)
        self.check_ready()
        found = self._fleet.get(vehicle_id)
        if found is None:
            raise answers.no_vehicle(vehicle_id)
        return views.vehicle(found, _now_ns())

    def watch_vehicles(self, text: str) -> AsyncGenerator[News[Vehicle], None]:
        chosen = answers.parsed_filter(text, VEHICLE_FIELDS)
        self.check_ready()

        def find(vehicle_id: str) -> Vehicle | None:
            vehicle = self._fleet.get(vehicle_id)
            return vehicle if vehicle is not None and chosen.matches(_vehicle_fields(vehicle)) else None

        def snapshot() -> list[tuple[str, Vehicle]]:
            known = ((vehicle.entry.vehicle_id, vehicle) for vehicle in self._fleet.vehicles())
            return [(key, vehicle) for key, vehicle in known if chosen.matches(_vehicle_fields(vehicle))]

        return self.vehicle_watchers.watch(snapshot, find)

    def watch_alerts(self, text: str) -> AsyncGenerator[News[Alert], None]:
        chosen = answers.parsed_filter(text, ALERT_FIELDS)
        self.check_ready()

        def find(alert_id: str) -> Alert | None:
            alert = self._fleet.alerts.get(alert_id)
            if alert is None or alert.backfilled:
                return None  # whoever watches takes what is not cleared for open
            return alert if chosen.matches(_alert_fields(alert)) else None

        def snapshot() -> list[tuple[str, Alert]]:
            known = sorted(self._fleet.alerts.open(), key=lambda alert: (alert.raised_ns, alert.alert_id))
            return [(alert.alert_id, alert) for alert in known if chosen.matches(_alert_fields(alert))]

        return self.alert_watchers.watch(snapshot, find)

    async def alerts(self, request: fleet_pb2.ListAlertsRequest) -> fleet_pb2.ListAlertsResponse:
        chosen = answers.parsed_filter(request.filter, ALERT_FIELDS)
        query = f"ListAlerts {request.filter}"
        asked = answers.asked_page(request.page_size, request.page_token, query, _ALERT_KEY)
        with answers.database():
            async with self._store.connection() as connection:
                found = await tables.list_alerts(connection, chosen, asked.after, asked.size + 1)
        page = asked.cut(found, lambda alert: (alert.raised_ns, alert.alert_id))
        return fleet_pb2.ListAlertsResponse(alerts=map(views.alert, page.items), next_page_token=page.next_token)

    async def windows(self, request: fleet_pb2.ListVehicleMetricsRequest) -> fleet_pb2.ListVehicleMetricsResponse:
        is_fleet = request.vehicle_id == THE_FLEET
        vehicle_id = OF_THE_FLEET if is_fleet else answers.checked_vehicle_id(request.vehicle_id)
        chosen = answers.parsed_filter(request.filter, METRICS_FIELDS)
        query = f"ListVehicleMetrics {vehicle_id} {request.filter}"
        asked = answers.asked_page(request.page_size, request.page_token, query, _WINDOW_KEY)
        self.check_ready()
        if not is_fleet and self._fleet.get(vehicle_id) is None:
            raise answers.no_vehicle(vehicle_id)
        with answers.database():
            async with self._store.connection() as connection:
                found = await tables.list_windows(connection, vehicle_id, chosen, asked.after, asked.size + 1)
        page = asked.cut(found, _window_key)
        return fleet_pb2.ListVehicleMetricsResponse(
            metrics=[views.window(window, self._gaps.missing_in(window)) for window in page.items],
            next_page_token=page.next_token,
        )


def _window_key(window: WindowFigures) -> tuple[int, int]:
    return window.window_start_ns, window.window_length_ms


def _vehicle_fields(vehicle: Vehicle) -> Callable[[str], Value]:
    def actual(field: str) -> Value:
        if field == "model":
            return vehicle.entry.model
        if field == "connectivity":
            return vehicle.live.connectivity
        return vehicle.live.state[0 if field == "status" else 2]

    return actual


def _alert_fields(alert: Alert) -> Callable[[str], Value]:
    def actual(field: str) -> Value:
        value: Value = getattr(alert, field)
        return value

    return actual


def _now_ns() -> int:
    return int(wall_time().timestamp() * 1e9)

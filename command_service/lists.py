"""The lists that callers page through, and the motion states."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import event_pb2, order_pb2

from command_service import views
from command_service.core import CommandCore
from command_service.entry import StopEntry
from command_service.orders import OrderEntry
from command_service.records import nanos
from command_service.registry import Vehicle
from command_service.releases import ReleaseEntry
from command_service.stop_desk import invalid
from command_service.store import Reader
from pitwall import wire
from pitwall.clock import boottime_s, wall_time
from pitwall.domain.order import REQUEST_MEMORY_S
from pitwall.paging import InvalidPage, Page, PageRequest
from pitwall.rpc.errors import NotFound, Unavailable

#: How long the journal's file may take to be read; a hung disk must not collect callers.
READ_TIMEOUT_S: Final = 5.0
#: Bytes of records in one page of audit events, so that an answer stays below what clients take (4 MiB).
MAX_AUDIT_BYTES: Final = 3 * 1024 * 1024

_NANOS: Final = 1_000_000_000

# Of what the keys are made.
_BY_TIME: Final = (int, str)
_BY_ID: Final = (str,)
_BY_PLACE: Final = (int,)


class Lists:
    """Reads what the core knows, and the journal's file."""

    def __init__(self, core: CommandCore, reader: Reader) -> None:
        self._core, self._reader = core, reader
        # One thread: readers of a hung disk wait for each other and not for the default executor.
        self._thread = ThreadPoolExecutor(1, "journal-reader")

    def stops(self, request: command_pb2.ListStopsRequest) -> command_pb2.ListStopsResponse:
        asked = _asked(request.page_size, request.page_token, f"ListStops {request.include_released}", _BY_TIME)
        chosen = [e for e in self._core.ledger.entries() if request.include_released or views.is_active(self._core, e)]
        found = asked.choose(chosen, _stop_key, newest_first=True)
        stops = (views.stop_state(self._core, entry, with_vehicles=False) for entry in found.items)
        return command_pb2.ListStopsResponse(stops=stops, next_page_token=found.next_token)

    def releases(self, request: command_pb2.ListReleasesRequest) -> command_pb2.ListReleasesResponse:
        asked = _asked(request.page_size, request.page_token, "ListReleases", _BY_TIME)
        found = asked.choose(self._core.releases.entries(), _release_key, newest_first=True)
        records = (views.release_record(self._core, entry) for entry in found.items)
        return command_pb2.ListReleasesResponse(releases=records, next_page_token=found.next_token)

    def orders(self, request: command_pb2.ListOrdersRequest) -> command_pb2.ListOrdersResponse:
        asked = _asked(request.page_size, request.page_token, "ListOrders", _BY_TIME)
        oldest_ns = int((wall_time().timestamp() - REQUEST_MEMORY_S) * _NANOS)
        recent = [entry for entry in self._core.orders.entries() if entry.issued_ns >= oldest_ns]
        found = asked.choose(recent, _order_key, newest_first=True)
        return command_pb2.ListOrdersResponse(
            orders=map(views.order_record, found.items), next_page_token=found.next_token
        )

    def motion_state(self, request: command_pb2.GetMotionStateRequest) -> order_pb2.MotionState:
        try:
            vehicle = self._core.registry.get(wire.checked_vehicle_id(request.vehicle_id))
        except wire.InvalidMessage as error:
            raise invalid(error.field, "INVALID_VEHICLE_ID", error.reason) from error
        if vehicle is None:
            raise NotFound("VEHICLE_NOT_FOUND", f"no vehicle {request.vehicle_id} has ever connected to this site")
        return views.motion_state(vehicle, boottime_s())

    def motion_states(self, request: command_pb2.ListMotionStatesRequest) -> command_pb2.ListMotionStatesResponse:
        asked = _asked(request.page_size, request.page_token, "ListMotionStates", _BY_ID)
        found = asked.choose(self._core.registry.vehicles(), _vehicle_key)
        now_s = boottime_s()
        states = (views.motion_state(vehicle, now_s) for vehicle in found.items)
        return command_pb2.ListMotionStatesResponse(motion_states=states, next_page_token=found.next_token)

    async def audit_events(self, request: command_pb2.ListAuditEventsRequest) -> command_pb2.ListAuditEventsResponse:
        """Oldest first, by their place in the journal."""
        since_ns = _since_ns(request)
        # `within` is taken from now on each page: the place in the journal does not depend on it.
        query = f"ListAuditEvents {request.since_time.ToJsonString()} {request.within.ToJsonString()}"
        asked = _asked(request.page_size, request.page_token, query, _BY_PLACE)
        after = int(asked.after[0]) if asked.after else 0
        found = await self._read(after, asked.size, since_ns)
        events = list(map(event_pb2.CommandEvent.FromString, found.items))
        token = asked.token((events[-1].journal_sequence,)) if found.next_token else ""
        return command_pb2.ListAuditEventsResponse(events=events, next_page_token=token)

    async def _read(self, after: int, size: int, since_ns: int | None) -> Page[bytes]:
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._reader.read, after, size + 1, since_ns)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                rows = await work
        except (TimeoutError, sqlite3.Error) as error:
            raise Unavailable(
                "JOURNAL_UNAVAILABLE", f"the journal can't be read now ({error or 'the disk hangs'}); try again"
            ) from error
        fitting, size_bytes = 0, 0
        for row in rows[:size]:
            size_bytes += len(row)
            if fitting and size_bytes > MAX_AUDIT_BYTES:
                break
            fitting += 1
        return Page(rows[:fitting], "more" if len(rows) > fitting else "")


def _since_ns(request: command_pb2.ListAuditEventsRequest) -> int | None:
    if request.HasField("since_time") and request.HasField("within"):
        raise invalid("within", "TWO_TIMES", "not together with since_time; leave one of them out")
    if request.HasField("within"):
        seconds = wire.to_seconds(request.within)
        if seconds <= 0:
            raise invalid("within", "INVALID_SPAN", f"is {seconds:g} s; a span above 0 is meant")
        return int((wall_time().timestamp() - seconds) * _NANOS)
    return nanos(request.since_time) if request.HasField("since_time") else None


def _asked(page_size: int, page_token: str, query: str, kinds: tuple[type, ...]) -> PageRequest:
    try:
        return PageRequest.parse(page_size, page_token, query, kinds)
    except InvalidPage as error:
        raise invalid(error.field, "INVALID_PAGE", error.reason) from error


def _stop_key(entry: StopEntry) -> tuple[int, str]:
    return round(entry.stop.issued_time.timestamp() * 1e6), entry.stop_id


def _release_key(entry: ReleaseEntry) -> tuple[int, str]:
    return round(entry.release.requested_time.timestamp() * 1e6), entry.release.release_id


def _order_key(entry: OrderEntry) -> tuple[int, str]:
    return entry.issued_ns, entry.order.request_id


def _vehicle_key(vehicle: Vehicle) -> tuple[str]:
    return (vehicle.vehicle_id,)

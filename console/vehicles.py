"""`pitwall vehicles`: the site's vehicles with their newest reading, as the fleet service has them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from haul.fleet.v1 import fleet_service_pb2, vehicle_pb2
from haul.telemetry.v1 import telemetry_pb2

from console import words
from console.failures import EXIT_DONE, UsageProblem
from console.fleet_client import FleetClient
from console.output import emit, emit_fields, say, table
from console.paging import first_pages
from console.site import Site
from console.vehicle_row import Known, Row, of_vehicle

COLUMNS = (
    *("VEHICLE", "MODEL", "STATUS", "SUB-STATUS", "HOLD", "LINK"),
    *("SPEED km/h", "PAYLOAD t", "ENGINE °C", "FUEL %", "AGE", "ALERTS"),
)


class _Enum(Protocol):
    def keys(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Each may name several, of which one has to fit; none means all."""

    status: Sequence[str] = ()
    connectivity: Sequence[str] = ()
    hold: Sequence[str] = ()

    def filter(self) -> str:
        """AIP-160. Raises UsageProblem for a name that there isn't."""
        fields = (
            ("status", "--status", self.status, telemetry_pb2.VehicleStatus, "VEHICLE_STATUS_"),
            ("connectivity", "--connectivity", self.connectivity, telemetry_pb2.Connectivity, "CONNECTIVITY_"),
            ("motion_hold", "--hold", self.hold, telemetry_pb2.MotionHold, "MOTION_HOLD_"),
        )
        parts = (_any_of(field, flag, names, enum, prefix) for field, flag, names, enum, prefix in fields)
        return " AND ".join(filter(None, parts))


def _any_of(field: str, flag: str, names: Sequence[str], enum: _Enum, prefix: str) -> str:
    known = [name.removeprefix(prefix) for name in enum.keys()][1:]  # noqa: SIM118 - no mapping; the first is none
    chosen = [name.upper().replace("-", "_").removeprefix(prefix) for name in names]
    for given, name in zip(names, chosen, strict=True):
        if name not in known:
            raise UsageProblem(f"{flag} {given}: there is none of that name", fix=f"choose one of {', '.join(known)}")
    # OR binds closer than AND.
    return " OR ".join(f"{field} = {name}" for name in chosen)


def run(site: Site, wanted: Wanted, limit: int | None, page_token: str) -> int:
    """Exit code 0 also where what is known is old: each line then says so."""
    stale = False
    text = wanted.filter()

    with FleetClient(site) as client:

        def page(token: str, size: int) -> tuple[list[vehicle_pb2.Vehicle], str]:
            nonlocal stale
            request = fleet_service_pb2.ListVehiclesRequest(page_size=size, page_token=token, filter=text)
            answer = client.ask(
                lambda line, timeout_s: line.stub.ListVehicles(request, timeout=timeout_s, metadata=line.metadata)
            )
            stale = stale or answer.stale
            return list(answer.vehicles), answer.next_page_token

        vehicles, following = first_pages(page, limit, page_token)
    show = _show_json if site.json else _show_table
    show(vehicles, following, stale, bool(text or page_token))
    return EXIT_DONE


def _show_json(vehicles: Sequence[vehicle_pb2.Vehicle], following: str, stale: bool, chosen: bool) -> None:
    for vehicle in vehicles:
        emit(vehicle, **({"stale": True} if stale else {}))
    if following:
        emit_fields({"nextPageToken": following})


def _show_table(vehicles: Sequence[vehicle_pb2.Vehicle], following: str, stale: bool, chosen: bool) -> None:
    now = datetime.now(UTC)
    empty = "no such vehicle" if chosen else "no vehicle has ever connected; `make up` starts some"
    table(COLUMNS, [cells(vehicle, now) for vehicle in vehicles], empty)
    if following:
        say(f"there are more: --page-token {following}")
    if stale:
        print(
            "pitwall: what is shown may be old: the fleet service is cut off from one of its sources.\n"
            "  What to do: `pitwall doctor` finds which; `pitwall motion` has each vehicle's motion state.",
            file=sys.stderr,
        )


def cells(vehicle: vehicle_pb2.Vehicle, now: datetime) -> tuple[str, ...]:
    """For COLUMNS. What is unknown is a dash, never a zero."""
    row = of_vehicle(vehicle, None)
    link = words.connectivity(vehicle.connectivity)
    if vehicle.HasField("connectivity_time"):
        link += f" for {words.since(vehicle.connectivity_time, now)}"
    return (
        vehicle.vehicle_id,
        vehicle.model or words.UNKNOWN,
        words.status(vehicle.status),
        words.sub_status(vehicle.sub_status),
        words.hold(vehicle.motion_hold),
        link,
        quantity(row, row.speed_kph),
        quantity(row, row.payload_tons),
        quantity(row, row.engine_celsius),
        quantity(row, row.fuel_percent),
        words.UNKNOWN if row.age_s is None else f"{words.span(row.age_s)}{' OLD' if row.old else ''}",
        str(row.alert_count or ""),
    )


def quantity(row: Row, known: Known | None) -> str:
    """With its own age where it is older than the newest reading, as where a sensor has failed."""
    if known is None:
        return words.UNKNOWN
    outlived = known.old and row.age_s is not None and known.age_s > row.age_s
    return f"{known.value:.1f}" + (f" ({words.span(known.age_s)} old)" if outlived else "")

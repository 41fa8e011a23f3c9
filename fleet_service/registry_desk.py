"""Changes by people: entries of the registry, and acknowledged alerts. Checked, stored, then shown."""

import difflib
import math
from collections.abc import Iterable
from typing import Any, Final

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2

from fleet_service import answers, tables, views
from fleet_service.answers import NOT_HAPPENED, invalid
from fleet_service.fleet import Fleet
from fleet_service.live import CONNECTED
from fleet_service.registry import MUTABLE, Entry
from fleet_service.store import Store
from pitwall.clock import wall_time
from pitwall.domain.geo import InvalidZone, Position, Zone
from pitwall.rpc.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PitwallError,
    ResourceExhausted,
    Unavailable,
)
from pitwall.tokens import Person

MAX_TEXT_CHARACTERS: Final = 200
MAX_NOTE_CHARACTERS: Final = 500
MAX_ALERT_ID_CHARACTERS: Final = 200
#: Metric tons and km/h: beyond is a slip of the pen.
MAX_TONS: Final = 1_000.0
MAX_KPH: Final = 130.0

_LIMITS: Final = {"rated_payload_tons": MAX_TONS, "max_payload_tons": MAX_TONS, "max_speed_kph": MAX_KPH}
_TEXTS: Final = ("model", "manufacturer", "assigned_route", "destination")
_FIXED: Final = frozenset(f.name for f in vehicle_pb2.Vehicle.DESCRIPTOR.fields) - set(MUTABLE)


class RegistryDesk:
    """What is stored is in `fleet` when a call returns."""

    def __init__(self, fleet: Fleet, store: Store) -> None:
        self._fleet, self._store = fleet, store

    async def create(self, request: fleet_pb2.CreateVehicleRequest) -> vehicle_pb2.Vehicle:
        vehicle_id = answers.checked_vehicle_id(request.vehicle.vehicle_id, "vehicle.vehicle_id")
        now = wall_time()
        request_id = _checked_text(request.request_id, "request_id")
        new = Entry(vehicle_id, now, now, request_id=request_id, **_checked(request.vehicle, MUTABLE))
        if self._fleet.full:
            raise ResourceExhausted(
                "TOO_MANY_VEHICLES", "the registry is full; delete some first", metadata=NOT_HAPPENED
            )
        with answers.database(changes=True):
            async with self._store.transaction() as connection:
                made = await tables.create(connection, new)
                there = await tables.entry(connection, vehicle_id) if made is None else None
        if made is None and (there is None or not request_id or there.request_id != request_id):
            raise AlreadyExists(
                "VEHICLE_EXISTS",
                f"{vehicle_id} is in the registry; change it with UpdateVehicle",
                metadata=NOT_HAPPENED,
            )
        return self._shown(made or there)

    async def update(self, request: fleet_pb2.UpdateVehicleRequest) -> vehicle_pb2.Vehicle:
        vehicle_id = answers.checked_vehicle_id(request.vehicle.vehicle_id, "vehicle.vehicle_id")
        names = _masked(request)
        values = _checked(request.vehicle, names)
        revision = _revision(request.vehicle.etag, "vehicle.etag")
        now = wall_time()
        request_id = _checked_text(request.request_id, "request_id")
        changed = Entry(vehicle_id, now, now, request_id=request_id, **values)
        with answers.database(changes=True):
            async with self._store.transaction() as connection:
                done = await tables.update(connection, changed, names, revision)
                there = await tables.entry(connection, vehicle_id) if done is None else None
        if done is None and not _repeated(there, request_id):
            raise self._lost(vehicle_id, there)
        return self._shown(done or there)

    async def delete(self, request: fleet_pb2.DeleteVehicleRequest) -> None:
        vehicle_id = answers.checked_vehicle_id(request.vehicle_id)
        revision = _revision(request.etag, "etag")
        request_id = _checked_text(request.request_id, "request_id")
        live = self._fleet.live(vehicle_id)
        if live is not None and live.connectivity == CONNECTED:
            text = f"{vehicle_id} is connected; it would be entered again at once. Switch it off first"
            raise FailedPrecondition("VEHICLE_CONNECTED", text, metadata=NOT_HAPPENED)
        with answers.database(changes=True):
            async with self._store.transaction() as connection:
                done = await tables.delete(connection, vehicle_id, revision, wall_time(), request_id)
                there = await tables.entry(connection, vehicle_id) if done is None else None
        if done is not None:
            self._fleet.put_entry(done)
        elif there is None or there.delete_time is None or not request_id or there.request_id != request_id:
            raise self._lost(vehicle_id, there)

    async def acknowledge(self, request: fleet_pb2.AcknowledgeAlertRequest, person: Person) -> vehicle_pb2.AlertRecord:
        alert_id, note = request.alert_id, request.note
        if not alert_id or len(alert_id) > MAX_ALERT_ID_CHARACTERS or "\x00" in alert_id:
            raise invalid("alert_id", "INVALID_ALERT_ID", "name an alert of ListAlerts")
        if len(note) > MAX_NOTE_CHARACTERS or "\x00" in note:
            reason = f"has {len(note)} characters, at most {MAX_NOTE_CHARACTERS} are taken, and no NUL"
            raise invalid("note", "NOTE_TOO_LONG", reason)
        with answers.database(changes=True):
            async with self._store.transaction() as connection:
                record = await tables.acknowledge(connection, alert_id, person.subject, wall_time(), note)
        if record is None:
            if self._fleet.alerts.get(alert_id) is not None:
                raise Unavailable("NOT_STORED_YET", f"{alert_id} is being stored; try again", metadata=NOT_HAPPENED)
            raise NotFound("ALERT_NOT_FOUND", f"no alert {alert_id[:80]!r}; see ListAlerts", metadata=NOT_HAPPENED)
        self._fleet.acknowledged(record)
        return views.alert(record)

    def _shown(self, entry: Entry | None) -> vehicle_pb2.Vehicle:
        assert entry is not None
        self._fleet.put_entry(entry)
        vehicle = self._fleet.get(entry.vehicle_id)
        return views.entry(entry) if vehicle is None else views.vehicle(vehicle, int(wall_time().timestamp() * 1e9))

    def _lost(self, vehicle_id: str, there: Entry | None) -> PitwallError:
        if vehicle_id in self._fleet.unregistered:
            return Unavailable("NOT_STORED_YET", f"{vehicle_id} is being entered; try again", metadata=NOT_HAPPENED)
        if there is None or there.delete_time is not None:
            return answers.no_vehicle(vehicle_id)
        self._fleet.put_entry(there)
        text = f"{vehicle_id} was changed meanwhile: its etag is {there.etag}; read it, then change it again"
        return Aborted("ETAG_MISMATCH", text, metadata=NOT_HAPPENED)


def _repeated(there: Entry | None, request_id: str) -> bool:
    return there is not None and there.delete_time is None and bool(request_id) and there.request_id == request_id


def _masked(request: fleet_pb2.UpdateVehicleRequest) -> tuple[str, ...]:
    """AIP-134: without a mask, whatever is set; * for everything."""
    paths = tuple(dict.fromkeys(request.update_mask.paths))
    if paths == ("*",):
        return MUTABLE
    for path in paths:
        if path in _FIXED:
            raise invalid("update_mask", "FIELD_IS_FIXED", f"{path!r} can't be written; fields: {', '.join(MUTABLE)}")
        if path not in MUTABLE:
            near = difflib.get_close_matches(path, MUTABLE, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(MUTABLE)}"
            raise invalid("update_mask", "UNKNOWN_FIELD", f"{path[:80]!r} is no field of a vehicle; {mend}")
    names = paths or tuple(f.name for f, _ in request.vehicle.ListFields() if f.name in MUTABLE)
    if not names:
        raise invalid("update_mask", "NOTHING_TO_UPDATE", f"name at least one field of {', '.join(MUTABLE)}")
    return names


def _checked(vehicle: vehicle_pb2.Vehicle, names: Iterable[str]) -> dict[str, Any]:
    """The values of these fields. Raises InvalidArgument."""
    values: dict[str, Any] = {}
    for name in names:
        if name in _LIMITS:
            present = vehicle.HasField(name)  # type: ignore[arg-type]  # the stubs want literals
            values[name] = _checked_number(getattr(vehicle, name), name, _LIMITS[name]) if present else None
        elif name in _TEXTS:
            values[name] = _checked_text(getattr(vehicle, name), f"vehicle.{name}")
        elif name == "safety_envelope":
            values[name] = _checked_envelope(vehicle)
        else:
            values[name] = getattr(vehicle, name)
    return values


def _checked_number(value: float, name: str, most: float) -> float:
    if not (math.isfinite(value) and 0 < value <= most):
        raise invalid(f"vehicle.{name}", "OUT_OF_RANGE", f"is {value:g}; above 0 and at most {most:g} is meant")
    return value


def _checked_text(text: str, field: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS or "\x00" in text:
        reason = f"has {len(text)} characters, at most {MAX_TEXT_CHARACTERS} are taken, and no NUL"
        raise invalid(field, "TEXT_TOO_LONG", reason)
    return text


def _checked_envelope(vehicle: vehicle_pb2.Vehicle) -> bytes | None:
    if not vehicle.HasField("safety_envelope"):
        return None
    envelope = vehicle.safety_envelope
    if envelope.HasField("max_speed_kph"):
        _checked_number(envelope.max_speed_kph, "safety_envelope.max_speed_kph", MAX_KPH)
    if envelope.HasField("zone"):
        corners = (Position(point.latitude_degrees, point.longitude_degrees) for point in envelope.zone.corners)
        try:
            Zone(_checked_text(envelope.zone.name, "vehicle.safety_envelope.zone.name"), tuple(corners))
        except (InvalidZone, ValueError) as error:
            raise invalid("vehicle.safety_envelope.zone", "INVALID_ZONE", str(error)) from error
    return envelope.SerializeToString()


def _revision(etag: str, field: str) -> int | None:
    """None where there is no guard."""
    if not etag:
        return None
    number = etag.strip('"')
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise invalid(field, "INVALID_ETAG", f"{etag[:50]!r} is none of this service; send back what you read")
    return int(number)

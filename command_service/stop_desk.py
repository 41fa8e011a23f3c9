"""Where stops are asked for: what is malformed is refused, everything else stops."""

from dataclasses import dataclass
from typing import Final

from haul.command.v1 import command_service_pb2 as command_pb2
from opentelemetry import metrics, propagate

from command_service.core import MAX_PAIRS, CommandCore
from command_service.entry import StopEntry
from command_service.hub import Hub, moment
from pitwall import wire
from pitwall.clock import wall_time
from pitwall.domain.stop_set import MAX_ACTIVE_STOPS, MAX_ACTIVE_ZONES, FleetScope, Scope, Stop, VehicleScope, ZoneScope
from pitwall.ids import InvalidId, parse_uuid7, uuid7
from pitwall.instruments import Tally
from pitwall.rpc.errors import InvalidArgument, NotFound, ResourceExhausted
from pitwall.tokens import Person

#: On top of MAX_ACTIVE_STOPS, for stops of the whole fleet alone: that is the advice at the limit, so it must be open.
FLEET_RESERVE: Final = 100


#: Released stops whose repeat is remembered.
MAX_REPEATED: Final = 10_000

_SCOPES: Final = {VehicleScope: "vehicles", ZoneScope: "zone", FleetScope: "fleet"}


@dataclass(frozen=True, slots=True)
class Issued:
    """The stop that is in force now. `as_new`: the one asked for had been released, so this one has another id."""

    stop_id: str
    as_new: bool = False


class StopDesk:
    """EmergencyStop, and looking stops up."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        #: Released stop -> the stop that a repeated click made of it. Of more than so many the oldest is forgotten: the
        #: next click then makes another stop, which stops as well.
        self._again: dict[str, str] = {}
        meter = metrics.get_meter("command_service")
        self._issued = Tally(meter, "pitwall.stops.issued", "Stops issued here, by scope", {"scope": _SCOPES.values()})

    @property
    def _core(self) -> CommandCore:
        return self._hub.core

    def stop(self, request: command_pb2.EmergencyStopRequest, person: Person) -> Issued:
        """In force, pushed and on its way to disk when this returns. A click on stop always stops.

        An active stop of the same id is answered as it is; one that has been released, be it for some vehicles only,
        and one of another scope, are answered with a new stop.
        """
        stop_id, scope = _checked(request)
        known = self._core.stops.get(stop_id)
        if known is None:
            return self._issue(stop_id, scope, request.reason, person)
        if self._holds_all(known, scope):
            return Issued(stop_id)
        again = self._core.stops.get(self._again.get(stop_id, ""))
        if again is not None and self._holds_all(again, scope):
            return Issued(again.stop_id, as_new=True)
        issued = self._issue(uuid7(), scope, request.reason, person)
        self._again[stop_id] = issued.stop_id
        if len(self._again) > MAX_REPEATED:
            del self._again[next(iter(self._again))]
        return Issued(issued.stop_id, as_new=True)

    def _issue(self, stop_id: str, scope: Scope, reason: str, person: Person) -> Issued:
        self._check_room(scope)
        stop = Stop(stop_id, scope, reason, person.subject, wall_time(), traceparent=_traceparent())
        self._core.issue(stop, moment())
        self._hub.carry_out()
        self._issued.add(1, _SCOPES[type(scope)])
        return Issued(stop_id)

    def _holds_all(self, stop: Stop, scope: Scope) -> bool:
        """Whether nobody has been released from the stop, and it is for the same vehicles."""
        entry = self._core.ledger.get(stop.stop_id)
        if entry is None or entry.released_for_all or entry.released_for:
            return False
        return stop.scope == scope

    def _check_room(self, scope: Scope) -> None:
        if isinstance(scope, ZoneScope) and self._core.stops.active_zones >= MAX_ACTIVE_ZONES:
            raise ResourceExhausted(
                "TOO_MANY_ACTIVE_ZONES",
                f"{MAX_ACTIVE_ZONES:,} zones are stopped, the most that a site may have (MAX_ACTIVE_ZONES): stop the "
                "fleet (scope.fleet), or release zones that need not be stopped",
                metadata={"may_have_happened": "false"},
            )
        ledger = self._core.ledger
        if ledger.pairs >= MAX_PAIRS:
            ledger.thin(MAX_PAIRS - 1)  # what is released everywhere must not cost anybody a stop
        most = MAX_ACTIVE_STOPS + (FLEET_RESERVE if isinstance(scope, FleetScope) else 0)
        full = len(ledger) >= most and self._core.stops.active_count >= most
        if full or (ledger.pairs >= MAX_PAIRS and not isinstance(scope, FleetScope)):
            many = f"{most:,} stops are active" if full else f"stops hold {MAX_PAIRS:,} vehicles, counted once for each"
            raise ResourceExhausted(
                "TOO_MANY_ACTIVE_STOPS",
                f"{many}, no more are taken one by one: stop the fleet (scope.fleet), "
                "and release what need not be stopped",
                metadata={"may_have_happened": "false"},
            )

    def find(self, stop_id: str) -> StopEntry:
        entry = self._core.ledger.get(stop_id)
        if entry is None:
            raise NotFound(
                "STOP_NOT_FOUND", f"no stop {stop_id[:80]!r} is known here; `pitwall stops` (ListStops) has them all"
            )
        return entry


def _checked(request: command_pb2.EmergencyStopRequest) -> tuple[str, Scope]:
    try:
        stop_id = parse_uuid7(request.stop_id) if request.stop_id else uuid7()
    except InvalidId as error:
        raise invalid("stop_id", "INVALID_STOP_ID", str(error)) from error
    if len(request.reason) > wire.MAX_REASON_CHARACTERS:
        reason = f"has {len(request.reason)} characters, at most {wire.MAX_REASON_CHARACTERS} are taken"
        raise invalid("reason", "REASON_TOO_LONG", reason)
    try:
        return stop_id, wire.scope_from_proto(request.scope)
    except wire.InvalidMessage as error:
        raise invalid(error.field, "INVALID_SCOPE", error.reason) from error


def invalid(field: str, reason: str, text: str) -> InvalidArgument:
    """The request is wrong in this field; nothing has happened."""
    return InvalidArgument(reason, f"{field}: {text}", fields={field: text}, metadata={"may_have_happened": "false"})


def _traceparent() -> str:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", "")

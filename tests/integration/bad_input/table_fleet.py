"""What FleetService refuses to show, method by method, and a watcher that doesn't read."""

from haul.fleet.v1.fleet_service_pb2 import DESCRIPTOR

from tests.integration.bad_input.counters import WATCHERS_STALLED, refused_by_fleet
from tests.integration.bad_input.rows import Layer, Row


def refusal(sentence: str, given: str, method: str, code: str, reason: str, *names: str) -> Row:
    """Whatever is refused is counted as a call of the method that ended so."""
    return Row(
        sentence, Layer.FLEET, given, code=code, reason=reason, names=names, counter=refused_by_fleet(method, code)
    )


_INVALID = "INVALID_ARGUMENT"

METHODS = tuple(method.name for method in DESCRIPTOR.services_by_name["FleetService"].methods)

_WITHOUT_A_TOKEN = tuple(
    refusal(
        f"{method} is for nobody without a token",
        f"{method} without a token",
        method,
        "UNAUTHENTICATED",
        "TOKEN_MISSING",
        "authorization: Bearer",
    )
    for method in METHODS
)

_LIST_VEHICLES = (
    refusal(
        "a filter by a field that there is not is refused with its position and the field that was meant",
        "vehicles by an unknown field",
        "ListVehicles",
        _INVALID,
        "INVALID_FILTER",
        "position 1:",
        "'stats'",
        "did you mean status?",
    ),
    refusal(
        "a filter by a status that there is not is refused with its position and all that there are",
        "vehicles by an unknown status",
        "ListVehicles",
        _INVALID,
        "INVALID_FILTER",
        "position 10:",
        "'IDEL'",
        "HAULING",
    ),
    refusal(
        "half a filter is refused with the place where it ends and what is missing there",
        "vehicles by half a filter",
        "ListVehicles",
        _INVALID,
        "INVALID_FILTER",
        "position 18:",
        "ends too early",
        "a field is missing",
    ),
    refusal(
        "a status is neither more nor less than another",
        "vehicles by an order that there is not",
        "ListVehicles",
        _INVALID,
        "INVALID_FILTER",
        "position 8:",
        "status takes = !=",
    ),
    refusal(
        "brackets in a filter are refused with what would be right",
        "vehicles by brackets",
        "ListVehicles",
        _INVALID,
        "INVALID_FILTER",
        "position 1:",
        "without brackets",
    ),
    refusal(
        "a page of less than nothing is refused",
        "vehicles, a negative page",
        "ListVehicles",
        _INVALID,
        "INVALID_PAGE",
        "page_size",
        "-1",
        "1,000",
    ),
    Row(
        "a page larger than the largest is the largest",
        Layer.FLEET,
        "vehicles, a huge page",
        names=("{vehicle}",),
    ),
    refusal(
        "a page token of another filter is refused",
        "vehicles, another query's token",
        "ListVehicles",
        _INVALID,
        "INVALID_PAGE",
        "page_token",
        "start again without one",
    ),
    refusal(
        "a page token with a number where an id is meant is refused",
        "vehicles, a token of the wrong type",
        "ListVehicles",
        _INVALID,
        "INVALID_PAGE",
        "page_token",
    ),
)

_GET_VEHICLE = (
    refusal(
        "a vehicle that is not in the registry is not found",
        "an unknown vehicle",
        "GetVehicle",
        "NOT_FOUND",
        "VEHICLE_NOT_FOUND",
        "GHOST-003",
        "ListVehicles",
    ),
    refusal(
        "an empty vehicle id is refused",
        "a vehicle without an id",
        "GetVehicle",
        _INVALID,
        "INVALID_VEHICLE_ID",
        "vehicle_id",
        "''",
    ),
    refusal(
        "a malformed vehicle id is refused with one that is right",
        "a vehicle with a malformed id",
        "GetVehicle",
        _INVALID,
        "INVALID_VEHICLE_ID",
        "vehicle_id",
        "truck 1",
        "KOMATSU-930E-001",
    ),
)

_LISTS = (
    refusal(
        "alerts by a flag that is neither true nor false are refused",
        "alerts by a flag that is none",
        "ListAlerts",
        _INVALID,
        "INVALID_FILTER",
        "position 16:",
        "true or false",
    ),
    refusal(
        "a page of alerts of less than nothing is refused",
        "alerts, a negative page",
        "ListAlerts",
        _INVALID,
        "INVALID_PAGE",
        "page_size",
        "-2147483647",
    ),
    refusal(
        "a page token of alerts with a word where a time is meant is refused",
        "alerts, a token of the wrong type",
        "ListAlerts",
        _INVALID,
        "INVALID_PAGE",
        "page_token",
    ),
    refusal(
        "figures of a vehicle that is not in the registry are not found",
        "figures of an unknown vehicle",
        "ListVehicleMetrics",
        "NOT_FOUND",
        "VEHICLE_NOT_FOUND",
        "GHOST-003",
    ),
    refusal(
        "figures of no vehicle at all are refused",
        "figures of nobody",
        "ListVehicleMetrics",
        _INVALID,
        "INVALID_VEHICLE_ID",
        "vehicle_id",
    ),
    refusal(
        "a time without its zone is refused",
        "figures by a time without a zone",
        "ListVehicleMetrics",
        _INVALID,
        "INVALID_FILTER",
        "position 21:",
        "time zone",
    ),
    refusal(
        "a page token of another vehicle's figures is refused",
        "figures, another vehicle's token",
        "ListVehicleMetrics",
        _INVALID,
        "INVALID_PAGE",
        "page_token",
    ),
    refusal(
        "a page token with a number that no store takes is refused",
        "figures, a token beyond all numbers",
        "ListVehicleMetrics",
        _INVALID,
        "INVALID_PAGE",
        "page_token",
    ),
    refusal(
        "readings are not served, and where they are is said",
        "readings",
        "ListReadings",
        "UNIMPLEMENTED",
        "UNIMPLEMENTED",
        "vehicle-telemetry",
    ),
    refusal(
        "gaps by a state that there is not are refused with all that there are",
        "gaps by an unknown state",
        "ListGaps",
        _INVALID,
        "INVALID_FILTER",
        "position 9:",
        "'CLOSED'",
        "OPEN, FILLED, LOST, REJECTED",
    ),
    refusal(
        "gaps by a field that they can't be chosen by are refused with those that there are",
        "gaps by a time",
        "ListGaps",
        _INVALID,
        "INVALID_FILTER",
        "position 1:",
        "fields: state, vehicle_id",
    ),
    refusal(
        "a page of gaps of less than nothing is refused",
        "gaps, a negative page",
        "ListGaps",
        _INVALID,
        "INVALID_PAGE",
        "page_size",
    ),
    refusal(
        "a page token of a list with filled gaps is none of one without",
        "gaps, another query's token",
        "ListGaps",
        _INVALID,
        "INVALID_PAGE",
        "page_token",
    ),
    refusal(
        "a page token of gaps with a text where a sequence is meant is refused",
        "gaps, a token of the wrong type",
        "ListGaps",
        _INVALID,
        "INVALID_PAGE",
        "page_token",
    ),
)

_WATCHERS = (
    refusal(
        "a watcher by a field of another list is refused",
        "watch by an unknown field",
        "WatchFleet",
        _INVALID,
        "INVALID_FILTER",
        "position 1:",
        "'severity'",
        "no field of this list",
    ),
    refusal(
        "a watcher of alerts by a severity that there is not is refused",
        "watch alerts by an unknown severity",
        "WatchAlerts",
        _INVALID,
        "INVALID_FILTER",
        "position 13:",
        "'BAD'",
        "EMERGENCY",
    ),
    Row(
        "a watcher that doesn't read is cut off and counted, and nobody waits for it",
        Layer.WATCHER,
        "nothing is read",
        names=("nobody waited",),
        counter=WATCHERS_STALLED,
    ),
)

READS = _WITHOUT_A_TOKEN + _LIST_VEHICLES + _GET_VEHICLE + _LISTS + _WATCHERS

"""How this service says no: the field, the reason and the mend."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from fleet_service import filters
from fleet_service.filters import Field, Filter, InvalidFilter
from fleet_service.store import DatabaseAway
from pitwall import wire
from pitwall.paging import InvalidPage, PageRequest
from pitwall.rpc.errors import InvalidArgument, NotFound, Unavailable

#: In the errors of methods that change something.
NOT_HAPPENED: Final = {"may_have_happened": "false"}
MAY_HAVE_HAPPENED: Final = {"may_have_happened": "true"}


def invalid(field: str, reason: str, text: str) -> InvalidArgument:
    """The request is wrong in this field; nothing has happened."""
    return InvalidArgument(reason, f"{field}: {text}", fields={field: text}, metadata=NOT_HAPPENED)


def no_vehicle(vehicle_id: str) -> NotFound:
    return NotFound(
        "VEHICLE_NOT_FOUND", f"no vehicle {vehicle_id} is in the registry; see ListVehicles", metadata=NOT_HAPPENED
    )


def checked_vehicle_id(vehicle_id: str, field: str = "vehicle_id") -> str:
    try:
        return wire.checked_vehicle_id(vehicle_id, field)
    except wire.InvalidMessage as error:
        raise invalid(error.field, "INVALID_VEHICLE_ID", error.reason) from error


def parsed_filter(text: str, fields: Mapping[str, Field]) -> Filter:
    try:
        return filters.parse(text, fields)
    except InvalidFilter as error:
        raise invalid("filter", "INVALID_FILTER", str(error)) from error


def asked_page(page_size: int, page_token: str, query: str, kinds: tuple[type, ...]) -> PageRequest:
    try:
        return PageRequest.parse(page_size, page_token, query, kinds)
    except InvalidPage as error:
        raise invalid(error.field, "INVALID_PAGE", error.reason) from error


@contextmanager
def database(*, changes: bool = False) -> Iterator[None]:
    """What the store says when it is away, as an answer. `changes`: the call writes."""
    try:
        yield
    except DatabaseAway as error:
        happened = MAY_HAVE_HAPPENED if changes else NOT_HAPPENED
        raise Unavailable("DATABASE_UNAVAILABLE", f"{error}; try again in some seconds", metadata=happened) from error

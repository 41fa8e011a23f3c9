"""Counts of the fleet. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fleet_service.live import CONNECTED
from pitwall.domain.vehicle_state import VehicleStatus

#: At work, when connected.
ACTIVE: Final = frozenset(
    {
        VehicleStatus.ROUTING,
        VehicleStatus.LOADING,
        VehicleStatus.HAULING,
        VehicleStatus.DUMPING,
        VehicleStatus.RETURNING,
    }
)
#: A vehicle of which nothing has been heard.
UNKNOWN: Final = "UNSPECIFIED"


@dataclass(frozen=True, slots=True)
class Statistics:
    """At one moment, nanoseconds since 1970."""

    total: int
    active: int
    idle: int
    connected: int
    by_status: Mapping[str, int]
    open_alerts: int
    computed_ns: int
    stale: bool


def count(states: Iterable[tuple[int, int]], open_alerts: int, computed_ns: int, *, stale: bool) -> Statistics:
    """`states`: (status, connectivity) of each vehicle."""
    counts = Counter(states)
    here = Counter({status: n for (status, connectivity), n in counts.items() if connectivity == CONNECTED})
    by_status: Counter[str] = Counter()
    for (status, _), n in counts.items():
        by_status[name(status)] += n
    return Statistics(
        total=counts.total(),
        active=sum(here[status] for status in ACTIVE),
        idle=here[VehicleStatus.IDLE],
        connected=here.total(),
        by_status=dict(sorted(by_status.items())),
        open_alerts=open_alerts,
        computed_ns=computed_ns,
        stale=stale,
    )


def name(status: int) -> str:
    """As in the contract, without the prefix. A number of a later version counts as unknown."""
    return VehicleStatus(status).name if status in VehicleStatus._value2member_map_ else UNKNOWN

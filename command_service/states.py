"""Where vehicles are with the stops that concern them, summed up for the eye."""

from collections import Counter
from collections.abc import Iterable, Mapping

from command_service.entry import StopEntry
from command_service.progress import Reach, Stage

#: By the last word about them; "unsent": not even a gateway has spoken yet.
_PENDING = {
    Stage.NONE: "unsent",
    Stage.ISSUED: "unsent",
    Stage.SENT: "sent",
    Stage.RECEIVED: "received",
    Stage.BRAKING: "braking",
}
STATES = ("unsent", "sent", "received", "braking", "standstill", "unreachable")


def vehicle_states(entries: Iterable[StopEntry]) -> Mapping[str, int]:
    """(stop, vehicle) pairs in scope, by STATES."""
    sums: Counter[str] = Counter(dict.fromkeys(STATES, 0))
    for entry in entries:
        sums["standstill"] += entry.counts[Reach.STANDSTILL]
        sums["unreachable"] += entry.unreachable
        sums.update(_PENDING[entry.vehicles[vehicle_id].stage] for vehicle_id in entry.pending)
    return sums

"""What one vehicle keeps of the set, and what it may forget.

It keeps what has hold of it, the zones that it watches, and its own withdrawals; a bounded number of releases on top,
so that a gateway which is behind doesn't latch it anew. Forgetting is safe: a stop that comes again holds again.
"""

from collections.abc import Iterable

from edge_agent.limits import REMEMBERED_RELEASES
from pitwall.domain.stop_set import Release, SetDelta, Stop, StopSet, ZoneScope


def carried(stops: StopSet, vehicle_id: str, latched: frozenset[str]) -> tuple[SetDelta, bool]:
    """What belongs on disk and into Hello, and whether there are zones to watch.

    A latched stop comes along even where the set knows no more than its id.
    """
    applies = stops.applies_to(vehicle_id)
    kept = {stop.stop_id: stop for stop in applies}
    kept.update((s, stop) for s in latched if (stop := stops.get(s)) is not None)
    withdrawals = _newest(_own_releases(stops, vehicle_id))
    watches = any(isinstance(stop.scope, ZoneScope) and stop.stop_id not in latched for stop in applies)
    return SetDelta(tuple(sorted(kept.values(), key=_stop_id)), withdrawals), watches


def trimmed(stops: StopSet, vehicle_id: str, latched: frozenset[str]) -> StopSet:
    """A set with what is carried and the newest releases."""
    delta, _ = carried(stops, vehicle_id, latched)
    releases = _newest(stops.snapshot().releases)
    named = {stop_id for release in releases for stop_id in release.stop_ids}
    kept = StopSet()
    kept.merge((*delta.stops, *(s for s in stops.snapshot().stops if s.stop_id in named)))
    kept.merge(releases=(*delta.releases, *releases))
    return kept


def _own_releases(stops: StopSet, vehicle_id: str) -> Iterable[Release]:
    return (r for r in stops.snapshot().releases if r.issuing_vehicle_id == vehicle_id)


def _newest(releases: Iterable[Release]) -> tuple[Release, ...]:
    return tuple(releases)[-REMEMBERED_RELEASES:]


def _stop_id(stop: Stop) -> str:
    return stop.stop_id

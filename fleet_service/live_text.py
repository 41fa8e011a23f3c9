"""A vehicle's live state as text, for Redis and PostgreSQL. Pure."""

import json
from typing import Any, Final

from fleet_service.live import Change, Known, Live, Sample

#: Of the form. A text of another one is not read: Kafka fills the state again.
VERSION: Final = 1


class UnreadableState(ValueError):
    """A text that is none of this version's."""


def to_text(live: Live) -> str:
    """Compact JSON."""
    older = {name: [known.value, *known.identity, known.event_ns] for name, known in live.older.items()}
    parts = [VERSION, _sample(live.sample), older, _change(live.change)]
    return json.dumps(parts, separators=(",", ":"))


def from_text(text: str | bytes) -> Live:
    """Raises UnreadableState."""
    try:
        version, sample, older, change = json.loads(text)
        if version != VERSION:
            raise UnreadableState(f"version {version}, not {VERSION}")
        return Live(_to_sample(sample), {name: _known(parts) for name, parts in older.items()}, _to_change(change))
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise UnreadableState(str(error)) from error


def _sample(sample: Sample | None) -> list[Any] | None:
    if sample is None:
        return None
    numbers = [sample.boot_epoch, sample.sequence, sample.event_ns, sample.received_ns]
    state = [sample.status, sample.sub_status, sample.motion_hold]
    return [sample.vehicle_id, *numbers, *state, dict(sample.quantities)]


def _to_sample(parts: list[Any] | None) -> Sample | None:
    return None if parts is None else Sample(*parts)


def _known(parts: list[Any]) -> Known:
    value, boot_epoch, sequence, event_ns = parts
    return Known(value, (boot_epoch, sequence), event_ns)


def _change(change: Change | None) -> list[Any] | None:
    if change is None:
        return None
    state = [change.status, change.sub_status, change.motion_hold, change.connectivity]
    return [change.vehicle_id, list(change.number), change.event_ns, *state, change.since_ns]


def _to_change(parts: list[Any] | None) -> Change | None:
    if parts is None:
        return None
    vehicle_id, number, *rest = parts
    return Change(vehicle_id, (number[0], number[1], number[2]), *rest)

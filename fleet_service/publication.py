"""Which vehicles vehicle-registry does not say yet what the registry does. Pure.

Nothing is noted of what has been sent: the topic is read, and the last record of each vehicle is compared with what its
row makes, byte by byte. So it makes no difference who wrote a record, in which order two fleet services did, whether
one was killed behind a change or a report, or that Kafka lost what it had: what differs is sent until it doesn't.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Final

from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.fleet.v1.vehicle_pb2 import SafetyEnvelope

from fleet_service.fleet import MAX_VEHICLES
from fleet_service.registry import Entry
from pitwall import wire

#: Keys of the topic that are remembered, so that those of vehicles that are in no registry find room too.
MAX_KEYS: Final = 2 * MAX_VEHICLES
#: A record that was sent and has not been read back for so long is compared again, seconds.
RESEND_S: Final = 10.0
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Record:
    """To be sent. `value` None: the vehicle is in the registry no more. `revision`: of its row, 0 where it has none."""

    vehicle_id: str
    value: bytes | None
    revision: int


def record_of(entry: Entry | None) -> bytes | None:
    """haul.fleet.v1.RegistryEntry of a row; None where there is none, or the vehicle was taken out."""
    if entry is None or entry.delete_time is not None:
        return None
    envelope = SafetyEnvelope.FromString(entry.safety_envelope or b"")
    own = envelope.max_speed_kph if envelope.HasField("max_speed_kph") else None
    message = RegistryEntry(
        vehicle_id=entry.vehicle_id,
        model=entry.model,
        rated_payload_tons=entry.rated_payload_tons,
        max_payload_tons=entry.max_payload_tons,
        max_speed_kph=min((kph for kph in (entry.max_speed_kph, own) if kph is not None), default=None),
        zone=envelope.zone if envelope.HasField("zone") else None,
        update_time=wire.timestamp(entry.update_time),
    )
    return message.SerializeToString(deterministic=True)


class Publication:
    """Times are monotonic seconds."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        #: Of the last record of each vehicle, where it has a value.
        self._heard: dict[str, bytes] = {}
        #: Vehicles to be compared, and since when; the oldest first.
        self._waiting: dict[str, float] = {}
        #: Of those: sent then, and not read back.
        self._sent: dict[str, float] = {}
        #: Records of no vehicle, or beyond the most keys that are remembered. They are left as they are.
        self.foreign = 0

    @property
    def waiting(self) -> int:
        """Vehicles of which the topic may not say what the registry does."""
        return len(self._waiting)

    @property
    def oldest_since_s(self) -> float | None:
        """Since when the first of them waits."""
        return next(iter(self._waiting.values()), None)

    def heard(self, key: bytes, value: bytes | None, now_s: float) -> None:
        """The next record of the topic."""
        vehicle_id = key.decode("utf-8", "replace")
        if not wire.VEHICLE_ID.fullmatch(vehicle_id):
            self.foreign += 1
            return
        if value is None:
            self._heard.pop(vehicle_id, None)
        elif vehicle_id in self._heard or len(self._heard) < self._max_keys:
            self._heard[vehicle_id] = _digest(value)
        else:
            self.foreign += 1
            return
        self._sent.pop(vehicle_id, None)
        self._waiting.setdefault(vehicle_id, now_s)

    def made_anew(self, now_s: float) -> None:
        """The topic was deleted and made again: whatever it said, it says no more."""
        self.doubt(self._heard, now_s)
        self._heard.clear()
        self._sent.clear()

    def doubt(self, vehicle_ids: Iterable[str], now_s: float) -> None:
        """Their rows may have changed."""
        for vehicle_id in vehicle_ids:
            self._waiting.setdefault(vehicle_id, now_s)

    def take(self, now_s: float, most: int) -> list[str]:
        """Whose rows are to be read and compared now, the oldest first."""
        overdue_s = now_s - RESEND_S
        due = (v for v in self._waiting if (sent_s := self._sent.get(v)) is None or sent_s <= overdue_s)
        return list(islice(due, most))

    def compare(self, vehicle_ids: Iterable[str], rows: Mapping[str, Entry], now_s: float) -> list[Record]:
        """What is to be sent of these. `rows`: read after they were taken; a vehicle without one is not there."""
        records: list[Record] = []
        for vehicle_id in vehicle_ids:
            row = rows.get(vehicle_id)
            value = record_of(row)
            if self._heard.get(vehicle_id) == (None if value is None else _digest(value)):
                self._waiting.pop(vehicle_id, None)
                self._sent.pop(vehicle_id, None)
            else:
                self._sent[vehicle_id] = now_s
                records.append(Record(vehicle_id, value, 0 if row is None else row.revision))
        return records

    def not_delivered(self, vehicle_ids: Sequence[str]) -> None:
        """They are compared and sent again."""
        for vehicle_id in vehicle_ids:
            self._sent.pop(vehicle_id, None)


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=_DIGEST_BYTES).digest()

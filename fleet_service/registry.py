"""The registry's entries, and what an entry begins with when a vehicle shows itself for the first time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

MANUFACTURER: Final = "Komatsu"
#: The most that may be on the body, by the rating.
OVERLOAD: Final = 1.1


@dataclass(frozen=True, slots=True)
class Model:
    """Rated payload in metric tons, top speed in km/h: the maker's data sheets."""

    name: str
    rated_payload_tons: float
    max_speed_kph: float


#: By the beginning of the vehicle's id.
MODELS: Final[Mapping[str, Model]] = {
    "KOMATSU-930E-": Model("930E-5", 290.0, 64.5),
    "KOMATSU-980E-": Model("980E-5", 369.0, 61.0),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One vehicle of the registry. Absent numbers are unknown."""

    vehicle_id: str
    create_time: datetime
    update_time: datetime
    model: str = ""
    manufacturer: str = ""
    rated_payload_tons: float | None = None
    max_payload_tons: float | None = None
    max_speed_kph: float | None = None
    autonomous_mode: bool = False
    assigned_route: str = ""
    destination: str = ""
    #: haul.fleet.v1.SafetyEnvelope, serialized; None where there is none.
    safety_envelope: bytes | None = None
    #: Grows with each change: the etag.
    revision: int = 1
    #: Of the last change.
    request_id: str = ""
    #: Taken out of the registry then. A vehicle that shows itself later is entered anew.
    delete_time: datetime | None = None

    @property
    def etag(self) -> str:
        return f'"{self.revision}"'

    def follows(self, other: "Entry") -> bool:
        """A later state of the same vehicle. Where a deleted one was forgotten, revisions begin anew."""
        reborn = other.delete_time is not None and self.create_time > other.delete_time
        return reborn or self.revision > other.revision


#: What may be written, by name: the same in the contract, here and in the table.
MUTABLE: Final = (
    "model",
    "manufacturer",
    "rated_payload_tons",
    "max_payload_tons",
    "max_speed_kph",
    "autonomous_mode",
    "assigned_route",
    "destination",
    "safety_envelope",
)


def first_seen(vehicle_id: str, now: datetime) -> Entry:
    """The entry of a vehicle that nobody entered: what its id tells, the rest unknown."""
    model = next((model for prefix, model in MODELS.items() if vehicle_id.startswith(prefix)), None)
    if model is None:
        return Entry(vehicle_id, now, now)
    return Entry(
        vehicle_id,
        now,
        now,
        model=model.name,
        manufacturer=MANUFACTURER,
        rated_payload_tons=model.rated_payload_tons,
        max_payload_tons=round(model.rated_payload_tons * OVERLOAD, 1),
        max_speed_kph=model.max_speed_kph,
        autonomous_mode=True,
    )

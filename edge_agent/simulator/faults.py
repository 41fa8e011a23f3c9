"""The faults that a simulated vehicle can have, and how far they push what it measures."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class FaultKind(Enum):
    """The value is what people type; the alert that it must raise stands in ALERTS."""

    OVERSPEED = "overspeed"
    OVERHEATING = "overheating"
    LOW_FUEL = "low-fuel"
    LOW_BATTERY = "low-battery"
    TIRE_PRESSURE_HIGH = "tire-pressure-high"
    TIRE_PRESSURE_LOW = "tire-pressure-low"
    #: By hand alone: its limit is another one for each model, and comes from the registry.
    OVERLOAD = "overload"


class UnknownFault(ValueError):
    """No fault has that name; the text lists those that there are."""


ALERTS: Final[dict[FaultKind, str]] = {
    FaultKind.OVERSPEED: "HIGH_SPEED",
    FaultKind.OVERHEATING: "OVERHEATING",
    FaultKind.LOW_FUEL: "LOW_FUEL",
    FaultKind.LOW_BATTERY: "LOW_BATTERY",
    FaultKind.TIRE_PRESSURE_HIGH: "HIGH_TIRE_PRESSURE",
    FaultKind.TIRE_PRESSURE_LOW: "LOW_TIRE_PRESSURE",
    FaultKind.OVERLOAD: "PAYLOAD_OVERLOAD",
}
#: Those that a schedule has, in the order that the seeds know. A kind more would make other faults of every seed.
SCHEDULED: Final = tuple(kind for kind in FaultKind if kind is not FaultKind.OVERLOAD)


@dataclass(frozen=True, slots=True)
class Limits:
    """An alert's limits, as in the contract. It is raised beyond the one and cleared beyond the other."""

    raised_at: float
    cleared_at: float

    @property
    def is_high(self) -> bool:
        return self.raised_at > self.cleared_at

    def raises(self, value: float) -> bool:
        return value > self.raised_at if self.is_high else value < self.raised_at


LIMITS: Final[dict[FaultKind, Limits]] = {
    FaultKind.OVERSPEED: Limits(60, 57),
    FaultKind.OVERHEATING: Limits(100, 97),
    FaultKind.LOW_FUEL: Limits(15, 17),
    FaultKind.LOW_BATTERY: Limits(20, 22),
    FaultKind.TIRE_PRESSURE_HIGH: Limits(120, 118),
    FaultKind.TIRE_PRESSURE_LOW: Limits(80, 82),
}

#: Where a fault drives the value. Overspeed is not among them: it acts on the drive, not on what is measured.
PUSHED_TO: Final[dict[FaultKind, float]] = {
    FaultKind.OVERHEATING: 112.0,
    FaultKind.LOW_FUEL: 11.0,
    FaultKind.LOW_BATTERY: 14.0,
    FaultKind.TIRE_PRESSURE_HIGH: 128.0,
    FaultKind.TIRE_PRESSURE_LOW: 72.0,
}
#: The value follows with this lag, both ways.
LAG_S: Final = 8.0
#: From any normal value it is beyond the raise limit so long after the start, and stays there to the end…
RAISED_WITHIN_S: Final = 30.0
#: … and beyond the clear limit so long after the end.
CLEARED_WITHIN_S: Final = 25.0

#: The speed of a vehicle whose drive runs away, and how fast it gets there.
OVERSPEED_KPH: Final = 67.0
OVERSPEED_MPS2: Final = 2.0
#: It is over once the vehicle has been beyond the limit so long.
OVERSPEED_LASTS_S: Final = 15.0
#: A leg that ends earlier is left so much too late that one reading a second shows it. It never comes back after that:
#: one fault, one alert.
OVERSPEED_SEEN_S: Final = 3.0

#: Of the rated payload: what an overloaded vehicle's scale says, at once, laden or not.
OVERLOADED_SHARE: Final = 1.2

assert ALERTS.keys() == set(FaultKind)
assert LIMITS.keys() == set(SCHEDULED)
assert all(LIMITS[kind].raises(value) for kind, value in PUSHED_TO.items())
assert LIMITS[FaultKind.OVERSPEED].raises(OVERSPEED_KPH)
assert OVERSPEED_SEEN_S < OVERSPEED_LASTS_S


def parse_fault(text: str) -> FaultKind:
    """Takes any case, with `-` or `_`, and the name of the alert as well."""
    wanted = text.strip().upper().replace("-", "_")
    for kind in FaultKind:
        if wanted in (kind.name, ALERTS[kind]):
            return kind
    known = ", ".join(kind.value for kind in FaultKind)
    raise UnknownFault(f"no fault is called {text[:40]!r}; there are {known}")

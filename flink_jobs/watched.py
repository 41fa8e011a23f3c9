"""What a rule can watch: quantities of readings, how fast they fall, expressions; and against which limits.

Columns are those of ``situations`` (alerts_sql.py): a quantity's field; the same with ``_fall``, by how much it falls
in a second; ``entry_`` and a field of the vehicle's registry entry; ``outside_zone``, ``link_lost``. NULL is unknown.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pitwall.domain.units import QUANTITIES

FALL: Final = "_fall"
ENTRY: Final = "entry_"
#: Numbers of haul.fleet.v1.RegistryEntry.
ENTRY_NUMBERS: Final = ("rated_payload_tons", "max_payload_tons", "max_speed_kph")
ENTRY_TEXTS: Final = ("model", "zone_name")
OUTSIDE_ZONE: Final = "outside_zone"
LINK_LOST: Final = "link_lost"

_COLUMN = re.compile(r"`([^`]*)`")
_BARE_WORD = re.compile(r"\b[a-z]\w*")
_TEXT = re.compile(r"'[^']*'")


class Invalid(ValueError):
    """Names the field of the row, what is wrong with it, and what would be right."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class Side(Enum):
    """On which side of ``raise_at`` things are wrong."""

    ABOVE = "above"
    BELOW = "below"

    def is_past(self, value: float, limit: float) -> bool:
        return value > limit if self is Side.ABOVE else value < limit

    @property
    def other(self) -> "Side":
        return Side.BELOW if self is Side.ABOVE else Side.ABOVE


class Observed(Enum):
    """What tells of it, one kind of record."""

    READING = "reading"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Signal:
    """A quantity of a Reading by its field's name, and where it is measured if there are several places."""

    field: str
    place: str = ""

    @property
    def sql(self) -> str:
        return f"`{self.field}`"

    @property
    def unit(self) -> str:
        return QUANTITIES[self.field].unit

    @property
    def range(self) -> tuple[float, float]:
        return QUANTITIES[self.field].minimum, QUANTITIES[self.field].maximum

    def check(self) -> None:
        _check_quantity(self.field)


@dataclass(frozen=True, slots=True)
class Fall:
    """By how much a quantity falls in a second, over the last second or a little more (Rates.java)."""

    field: str
    place: str = ""

    @property
    def sql(self) -> str:
        return f"`{self.field}{FALL}`"

    @property
    def unit(self) -> str:
        return f"{QUANTITIES[self.field].unit}/s"

    @property
    def range(self) -> tuple[float, float]:
        span = QUANTITIES[self.field].maximum - QUANTITIES[self.field].minimum
        return -span, span

    def check(self) -> None:
        _check_quantity(self.field)


@dataclass(frozen=True, slots=True)
class Expression:
    """SQL of a DOUBLE, its unit, and between what its values lie. Columns in backticks, functions in capitals."""

    sql: str
    unit: str
    range: tuple[float, float]
    place: str = ""

    def check(self) -> None:
        _check_sql("signals", self.sql)


Watched = Signal | Fall | Expression


@dataclass(frozen=True, slots=True)
class Limit:
    """``factor`` times a number of the vehicle's registry entry, and ``at_most`` where that is unknown or higher.

    Without at_most an unknown number makes the rule's level unknown.
    """

    entry_field: str
    factor: float = 1.0
    at_most: float | None = None

    def check(self, field: str) -> None:
        if self.entry_field not in ENTRY_NUMBERS:
            raise Invalid(field, f"{self.entry_field} must be one of {', '.join(ENTRY_NUMBERS)}")
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise Invalid(field, f"factor {self.factor:g} must be above 0")


@dataclass(frozen=True, slots=True)
class Threshold:
    """Limits are exclusive, in the signals' unit, all numbers or all by the registry. ``subject`` begins sentences."""

    subject: str
    signals: tuple[Watched, ...]
    side: Side
    raise_at: float | Limit
    clear_at: float | Limit
    escalate_at: float | Limit | None = None

    @property
    def unit(self) -> str:
        return self.signals[0].unit

    @property
    def limits(self) -> list[tuple[str, float | Limit]]:
        """By field, those that are given, from the harmless end on."""
        all_three = (("clear_at", self.clear_at), ("raise_at", self.raise_at), ("escalate_at", self.escalate_at))
        return [(field, limit) for field, limit in all_three if limit is not None]

    def check(self) -> None:
        """Raises Invalid."""
        _check_words("subject", self.subject)
        for signal in self.signals:
            signal.check()
        if len({signal.unit for signal in self.signals}) != 1:
            raise Invalid("signals", "name at least one, and only such as share a unit")
        if len({signal.place for signal in self.signals}) != len(self.signals):
            raise Invalid("signals", "give each of several signals a place of its own")
        for field, limit in self.limits:
            _check_limit(self.signals, field, limit)
        for (near, near_limit), (far, far_limit) in zip(self.limits, self.limits[1:], strict=False):
            _check_order(self.side, near, near_limit, far, far_limit)


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL of a BOOLEAN, and the sentences while it is so and when it is no longer.

    ``detail``: a column whose text is added to the first of them where it is known.
    """

    sql: str
    raised: str
    cleared: str
    detail: str | None = None
    observed: Observed = Observed.READING

    def check(self) -> None:
        """Raises Invalid."""
        _check_sql("sql", self.sql)
        if (self.observed is Observed.LINK) is not (LINK_LOST in columns(self)):
            raise Invalid("observed", f"must be LINK exactly where sql has `{LINK_LOST}`")
        _check_words("raised", self.raised)
        _check_words("cleared", self.cleared)
        if self.detail is not None and self.detail not in {ENTRY + name for name in ENTRY_TEXTS}:
            raise Invalid("detail", f"{self.detail} is no text column")


def columns(when: Threshold | Condition) -> list[str]:
    """Those that it looks at, each once."""
    if isinstance(when, Condition):
        return [*_COLUMN.findall(when.sql), *([when.detail] if when.detail else [])]
    of_limits = [ENTRY + limit.entry_field for _, limit in when.limits if isinstance(limit, Limit)]
    return list(dict.fromkeys([name for s in when.signals for name in _COLUMN.findall(s.sql)] + of_limits))


def _known_columns() -> set[str]:
    entry = (ENTRY + name for name in (*ENTRY_NUMBERS, *ENTRY_TEXTS))
    return {*QUANTITIES, *(name + FALL for name in QUANTITIES), *entry, OUTSIDE_ZONE, LINK_LOST}


def _check_quantity(field: str) -> None:
    if field not in QUANTITIES:
        raise Invalid("signals", f"{field} is no quantity of a Reading; see pitwall.domain.units")


def _check_sql(field: str, sql: str) -> None:
    names = _COLUMN.findall(sql)
    if not names:
        raise Invalid(field, f"{sql!r} looks at nothing; write columns in backticks")
    for name in names:
        if name not in _known_columns():
            raise Invalid(field, f"`{name}` is no column; see flink_jobs/watched.py")
    bare = _BARE_WORD.search(_TEXT.sub("", _COLUMN.sub("", sql)))
    if bare:
        raise Invalid(field, f"write {bare[0]!r} in backticks if it is a column, else in capitals")


def _check_words(field: str, text: str) -> None:
    if not text or "'" in text:
        raise Invalid(field, "say it in words, without quotes")


def _check_limit(signals: Iterable[Watched], field: str, limit: float | Limit) -> None:
    """A limit that no possible value passes would make a rule that never raises, or never clears."""
    if isinstance(limit, Limit):
        limit.check(field)
        number = limit.at_most
    else:
        number = limit
    for signal in signals:
        least, most = signal.range
        if number is not None and not (math.isfinite(number) and least < number < most):
            within = f"between {least:g} and {most:g} {signal.unit}"
            raise Invalid(field, f"{number:g} must be {within}, the range of {signal.sql}")


def _check_order(side: Side, near: str, near_limit: float | Limit, far: str, far_limit: float | Limit) -> None:
    if isinstance(near_limit, Limit) and isinstance(far_limit, Limit):
        if near_limit.entry_field != far_limit.entry_field or (near_limit.at_most is None) != (
            far_limit.at_most is None
        ):
            raise Invalid(near, f"must go by the same number of the registry as {far}, both with at_most or neither")
        pairs = [(near_limit.factor, far_limit.factor)]
        if near_limit.at_most is not None and far_limit.at_most is not None:
            pairs.append((near_limit.at_most, far_limit.at_most))
    elif isinstance(near_limit, Limit) or isinstance(far_limit, Limit):
        raise Invalid(near, f"and {far} must be both numbers, or both by the registry")
    else:
        pairs = [(near_limit, far_limit)]
    for near_number, far_number in pairs:
        if not side.is_past(far_number, near_number):
            raise Invalid(near, f"{near_number:g} must be {side.other.value} {far} {far_number:g}")

"""What the alert rules mean, said plainly: all that was observed of a vehicle is kept, and each step follows from it.

The stream job must come to the same. It keeps far less, in Java and SQL; nothing of that is used here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.alert_pb2 import Alert, AlertSeverity, AlertState
from haul.telemetry.v1.telemetry_pb2 import Connectivity, Reading, StatusChange

from flink_jobs.rules import LONGEST_SILENCE_S, RULES, Rule
from flink_jobs.watched import Condition, Expression, Limit, Observed, Signal, Threshold, Watched
from pitwall.domain.geo import Position, Zone

RAISED, ESCALATED = AlertState.ALERT_STATE_RAISED, AlertState.ALERT_STATE_ESCALATED
CLEARED = AlertState.ALERT_STATE_CLEARED
LEAST_SPAN_S, MOST_SPAN_S = 1.0, 5.0
#: What is measured against is at least so far from the one before it.
APART_S = 0.1
_NANOS = 1_000_000_000


def _coolant_up_to_100(reading: Reading) -> float | None:
    coolant = _of(reading, "engine_temperature_celsius")
    return coolant if coolant is not None and coolant <= 100 else None


#: The expressions of the table, which are SQL there, said again.
_PLAINLY: Mapping[str, Callable[[Reading], float | None]] = {
    "CASE WHEN `engine_temperature_celsius` <= 100 THEN `engine_temperature_celsius` END": _coolant_up_to_100
}


@dataclass(frozen=True, order=True)
class Step:
    """What an alert's record must say, but for its sentence. value, threshold: empty where there is none."""

    alert_id: str
    state: int
    severity: int
    value: tuple[float, ...]
    threshold: tuple[float, ...]
    boot_epoch: int
    sequence: int
    raised_ns: int
    event_ns: int


def step_of(alert: Alert) -> Step:
    """Of a record."""
    return Step(
        alert.alert_id,
        alert.state,
        alert.severity,
        (alert.value,) if alert.HasField("value") else (),
        (alert.threshold,) if alert.HasField("threshold") else (),
        alert.boot_epoch,
        alert.sequence,
        alert.raised_time.ToNanoseconds(),
        alert.event_time.ToNanoseconds(),
    )


@dataclass
class _Standing:
    """Of one rule in one lane. since_ns, held_ns: of the stretch beyond its limit; None: it isn't."""

    raised_by: tuple[int, int, int] | None = None
    escalated: bool = False
    held_ns: int | None = None
    last_level: int | None = None


@dataclass
class Lane:
    """One vehicle's live readings, or its history. Told in the order of arrival."""

    vehicle_id: str
    backfilled: bool
    rules: Sequence[Rule] = RULES
    entry: RegistryEntry | None = None
    readings: list[Reading] = field(default_factory=list)
    _news: tuple[int, int, int] = (0, 0, 0)
    _standing: dict[str, _Standing] = field(default_factory=dict)

    def observe(self, reading: Reading) -> list[Step]:
        """The steps, in the rules' order. A repeat, and what comes after later ones of its boot, is no news."""
        if any(r.boot_epoch == reading.boot_epoch and r.sequence >= reading.sequence for r in self.readings):
            return []
        since_ns = _event_ns(reading) - _event_ns(self.readings[-1]) if self.readings else 0
        self.readings.append(reading)
        steps: list[Step] = []
        for rule in self.rules:
            if rule.observed is Observed.READING:
                steps += self._judge(rule, self.level(rule), max(since_ns, 0))
        return steps

    def link(self, change: StatusChange) -> list[Step]:
        """Steps of the rules about the link. Only what is newer than all before counts."""
        count = int(change.change_id.rpartition(":")[2])
        news = (change.boot_epoch, change.connect_count, count)
        if self.backfilled or news <= self._news:
            return []
        self._news = news
        level = 1 if change.connectivity == Connectivity.CONNECTIVITY_LOST else 0
        at = (change.boot_epoch, change.connect_count * 1_000_000 + count, _nanos(change))
        rules = [rule for rule in self.rules if rule.observed is Observed.LINK]
        return [step for rule in rules for step in self._told(rule, level, 0, at)]

    def _judge(self, rule: Rule, level: int | None, since_ns: int) -> Iterator[Step]:
        last = self.readings[-1]
        return self._told(rule, level, since_ns, (last.boot_epoch, last.sequence, _event_ns(last)))

    def _told(self, rule: Rule, level: int | None, since_ns: int, at: tuple[int, int, int]) -> Iterator[Step]:
        standing = self._standing.setdefault(rule.name, _Standing())
        self._hold(standing, level, since_ns)
        before = standing.raised_by
        if before is None and standing.held_ns is not None and standing.held_ns >= rule.hold_s * _NANOS and level:
            standing.raised_by, standing.escalated = at, False
            yield self._step(rule, RAISED, at, at, escalated=False)
        if standing.raised_by is not None and level == 2 and not standing.escalated:
            standing.escalated = True
            yield self._step(rule, ESCALATED, standing.raised_by, at, escalated=True)
        if before is not None and level == 0:
            standing.raised_by = None
            yield self._step(rule, CLEARED, before, at, escalated=standing.escalated)

    @staticmethod
    def _hold(standing: _Standing, level: int | None, since_ns: int) -> None:
        if since_ns > LONGEST_SILENCE_S * _NANOS:
            standing.held_ns = None
        if level is not None and level < 1:
            standing.held_ns = None
        elif level is not None:
            counts = standing.held_ns is not None and standing.last_level is not None and standing.last_level > 0
            standing.held_ns = (standing.held_ns or 0) + (since_ns if counts else 0)
        standing.last_level = level

    def _step(
        self, rule: Rule, state: int, raised: tuple[int, int, int], at: tuple[int, int, int], *, escalated: bool
    ) -> Step:
        ending = ".backfilled" if self.backfilled else ""
        severity = rule.escalated if escalated and rule.escalated else rule.severity
        value = threshold = None
        if isinstance(rule.when, Threshold):
            when = rule.when
            limits: dict[int, float | Limit | None] = {RAISED: when.raise_at, ESCALATED: when.escalate_at}
            value, threshold = self._worst(rule.when), self._limit(limits.get(state, when.clear_at))
        return Step(
            f"{self.vehicle_id}.{rule.name}.{raised[0]}.{raised[1]}{ending}",
            state, AlertSeverity.Value(severity), _given(value), _given(threshold), at[0], at[1], raised[2], at[2],
        )  # fmt: skip

    def level(self, rule: Rule) -> int | None:
        """After the last reading: 2, 1, 0, -1, or None, as in flink_jobs/levels_sql.py. The link is not in it."""
        if rule.observed is Observed.LINK:
            return None
        if rule.models:
            model = self.entry.model if self.entry else ""
            if not model:
                return None
            if not model.startswith(rule.models):
                return 0
        if isinstance(rule.when, Condition):
            is_so = self._is_outside()
            return None if is_so is None else int(is_so)
        return self._past(rule.when)

    def _past(self, when: Threshold) -> int | None:
        values = [self.value(signal) for signal in when.signals]
        known = [value for value in values if value is not None]
        limits = [self._limit(limit) for limit in (when.escalate_at, when.raise_at, when.clear_at)]
        escalate, raises, clears = limits
        if escalate is not None and any(when.side.is_past(value, escalate) for value in known):
            return 2
        if raises is None or clears is None:
            return None
        if any(when.side.is_past(value, raises) for value in known):
            return 1
        if len(known) < len(values):
            return None
        return 0 if all(when.side.other.is_past(value, clears) for value in known) else -1

    def _worst(self, when: Threshold) -> float | None:
        known = [value for value in map(self.value, when.signals) if value is not None]
        if not known:
            return None
        return max(known) if when.side.is_past(1, 0) else min(known)

    def value(self, signal: Watched) -> float | None:
        """At the last reading, in the signal's unit."""
        last = self.readings[-1]
        if isinstance(signal, Signal):
            return _of(last, signal.field)
        if isinstance(signal, Expression):
            return _PLAINLY[signal.sql](last)
        value = _of(last, signal.field)
        if value is None:
            return None
        samples = self._samples(signal.field)
        if samples and _event_ns(last) < samples[-1][0]:
            return None  # the clock was set back
        for at_ns, before in reversed(samples):
            span_ns = _event_ns(last) - at_ns
            if span_ns >= LEAST_SPAN_S * _NANOS:
                return None if span_ns > MOST_SPAN_S * _NANOS else -((value - before) / (span_ns / 1e9))
        return None

    def _samples(self, quantity: str) -> list[tuple[int, float]]:
        """What the last reading is measured against: times and values, apart, since the clock was set back last."""
        samples: list[tuple[int, float]] = []
        for earlier in self.readings[:-1]:
            value, at_ns = _of(earlier, quantity), _event_ns(earlier)
            if value is None:
                continue
            if samples and at_ns < samples[-1][0]:
                samples.clear()
            if not samples or at_ns - samples[-1][0] >= APART_S * _NANOS:
                samples.append((at_ns, value))
        return samples

    def _limit(self, limit: float | Limit | None) -> float | None:
        if not isinstance(limit, Limit):
            return limit
        entry = self.entry
        number = _of(entry, limit.entry_field) if entry else None
        scaled = None if number is None else number * limit.factor
        if limit.at_most is None:
            return scaled
        return limit.at_most if scaled is None else min(scaled, limit.at_most)

    def _is_outside(self) -> bool | None:
        if self.entry is None:
            return None
        if not self.entry.HasField("zone"):
            return False
        last, corners = self.readings[-1], self.entry.zone.corners
        latitude, longitude = _of(last, "latitude_degrees"), _of(last, "longitude_degrees")
        if latitude is None or longitude is None:
            return None
        zone = Zone(self.entry.zone.name, tuple(Position(c.latitude_degrees, c.longitude_degrees) for c in corners))
        return not zone.contains(Position(latitude, longitude))


def judged(
    readings: Iterable[Reading | StatusChange], entries: Iterable[RegistryEntry], rules: Sequence[Rule] = RULES
) -> list[Step]:
    """All that was observed of a fleet, once the registry had told what it knows."""
    known = {entry.vehicle_id: entry for entry in entries}
    lanes: dict[tuple[str, bool], Lane] = {}
    steps: list[Step] = []
    for observed in readings:
        history = isinstance(observed, Reading) and observed.backfilled
        key = (observed.vehicle_id, history)
        lane = lanes.setdefault(key, Lane(*key, rules=rules, entry=known.get(observed.vehicle_id)))
        steps += lane.observe(observed) if isinstance(observed, Reading) else lane.link(observed)
    return steps


def _of(message: Reading | RegistryEntry, name: str) -> float | None:
    return float(getattr(message, name)) if message.HasField(name) else None  # type: ignore[arg-type]


def _event_ns(reading: Reading) -> int:
    return reading.event_time.ToNanoseconds()


def _nanos(change: StatusChange) -> int:
    return change.event_time.ToNanoseconds()


def _given(value: float | None) -> tuple[float, ...]:
    return () if value is None else (value,)

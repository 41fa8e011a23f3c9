"""The alert rules once more, for many readings: which steps must come of them, with a few numbers kept of each vehicle.

tests/support/alert_judge.py says plainly what rules mean, and keeps all readings for that. This comes to the same for
vehicles of which the registry knows nothing, a hundred times as fast, so that millions can be judged.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from haul.telemetry.v1.telemetry_pb2 import Reading

RAISED, ESCALATED, CLEARED = "RAISED", "ESCALATED", "CLEARED"
#: (alert_id, state): what a consumer keeps once.
Step = tuple[str, str]
#: 2 past where it escalates, 1 past where it raises, 0 back past where it clears, -1 in between, None where that is
#: unknown; of the reading and by how much its speed falls in a second.
Level = Callable[[Reading, float | None], int | None]

LONGEST_SILENCE_NS = 15 * 10**9
_LEAST_SPAN_NS, _MOST_SPAN_NS = 10**9, 5 * 10**9
#: What comes sooner after a sample is measured against earlier ones, and nothing is measured against it.
_APART_NS = 10**8
_COOLANT = "engine_temperature_celsius"
_WHEELS = tuple(f"tire_pressure_{wheel}_psi" for wheel in ("front_left", "front_right", "rear_left", "rear_right"))


def above(fields: tuple[str, ...], raise_at: float, clear_at: float, escalate_at: float = float("inf")) -> Level:
    """Any of them raises, all of them clear."""

    def level(reading: Reading, _: float | None) -> int | None:
        values = _known(reading, fields)
        if not values:
            return None
        worst = max(values)
        if worst > raise_at:
            return 2 if worst > escalate_at else 1
        if len(values) < len(fields):
            return None
        return 0 if worst < clear_at else -1

    return level


def below(fields: tuple[str, ...], raise_at: float, clear_at: float, escalate_at: float = float("-inf")) -> Level:
    def level(reading: Reading, _: float | None) -> int | None:
        values = _known(reading, fields)
        if not values:
            return None
        worst = min(values)
        if worst < raise_at:
            return 2 if worst < escalate_at else 1
        if len(values) < len(fields):
            return None
        return 0 if worst > clear_at else -1

    return level


def unknown_above(most: float, field: str, of: Level) -> Level:
    def level(reading: Reading, fall: float | None) -> int | None:
        return None if getattr(reading, field) > most else of(reading, fall)

    return level


def falling(raise_at: float, clear_at: float) -> Level:
    def level(_: Reading, fall: float | None) -> int | None:
        if fall is None:
            return None
        return 1 if fall > raise_at else 0 if fall < clear_at else -1

    return level


def _known(reading: Reading, fields: tuple[str, ...]) -> list[float]:
    return [getattr(reading, name) for name in fields if reading.HasField(name)]  # type: ignore[arg-type]


#: Rule -> level, seconds that it must hold. Rules that need the registry raise nothing without it.
RULES: dict[str, tuple[Level, int]] = {
    "HIGH_SPEED": (above(("speed_kph",), 60, 57), 0),
    "OVERHEATING": (above((_COOLANT,), 100, 97, 110), 0),
    "HOT_COOLANT": (unknown_above(100, _COOLANT, above((_COOLANT,), 97, 95)), 60),
    "LOW_FUEL": (below(("fuel_level_percent",), 15, 17, 5), 0),
    "LOW_BATTERY": (below(("battery_level_percent",), 20, 22), 0),
    "HIGH_TIRE_PRESSURE": (above(_WHEELS, 120, 118), 0),
    "LOW_TIRE_PRESSURE": (below(_WHEELS, 80, 82), 0),
    "HARSH_BRAKING": (falling(12.6, 7.2), 0),
}


@dataclass(slots=True)
class _Standing:
    """Of one rule. held_ns: for how long it has been past its limit; None: it isn't."""

    alert_id: str = ""
    escalated: bool = False
    held_ns: int | None = None
    counting: bool = False


@dataclass(slots=True)
class _Lane:
    """A vehicle's live readings, or its history."""

    highest: dict[int, int] = field(default_factory=dict)
    latest_ns: int = 0
    standing: dict[str, _Standing] = field(default_factory=lambda: {rule: _Standing() for rule in RULES})
    #: (event time, speed) of the last few seconds, the oldest first.
    speeds: list[tuple[int, float]] = field(default_factory=list)


class Oracle:
    """Takes readings in the order in which they lie in their partitions; repeats and late ones change nothing."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, bool], _Lane] = {}

    def steps(self, reading: Reading) -> Iterator[tuple[str, str, str]]:
        """(alert_id, state, rule) of what changes."""
        lane = self._lanes.setdefault((reading.vehicle_id, reading.backfilled), _Lane())
        if reading.sequence <= lane.highest.get(reading.boot_epoch, 0):
            return
        lane.highest[reading.boot_epoch] = reading.sequence
        at_ns = reading.event_time.ToNanoseconds()
        since_ns = max(at_ns - lane.latest_ns, 0) if lane.latest_ns else 0
        lane.latest_ns = at_ns
        fall = _fall(lane, reading, at_ns)
        for rule, (level, hold_s) in RULES.items():
            standing = lane.standing[rule]
            if since_ns > LONGEST_SILENCE_NS:
                standing.held_ns = None
            for state in _judge(standing, level(reading, fall), since_ns, hold_s):
                if state == RAISED:
                    standing.alert_id = alert_id(reading, rule)
                yield standing.alert_id, state, rule
                if state == CLEARED:
                    standing.alert_id = ""


def _judge(standing: _Standing, level: int | None, since_ns: int, hold_s: int) -> Iterator[str]:
    if level is None:
        standing.counting = False
    elif level < 1:
        standing.held_ns = None
        if level == 0 and standing.alert_id:
            yield CLEARED
    else:
        held_ns = standing.held_ns
        standing.held_ns = 0 if held_ns is None else held_ns + (since_ns if standing.counting else 0)
        standing.counting = True
        if not standing.alert_id and standing.held_ns >= hold_s * 10**9:
            standing.escalated = False
            yield RAISED
        if level == 2 and standing.alert_id and not standing.escalated:
            standing.escalated = True
            yield ESCALATED


def _fall(lane: _Lane, reading: Reading, at_ns: int) -> float | None:
    """Over the shortest second or more that there is."""
    if not reading.HasField("speed_kph"):
        return None
    speeds, fall = lane.speeds, None
    if speeds and at_ns < speeds[-1][0]:
        speeds.clear()  # the clock was set
    before = next((n for n in range(len(speeds) - 1, -1, -1) if at_ns - speeds[n][0] >= _LEAST_SPAN_NS), None)
    if before is not None:
        span_ns = at_ns - speeds[before][0]
        if span_ns <= _MOST_SPAN_NS:
            fall = -(reading.speed_kph - speeds[before][1]) / (span_ns / 1e9)
        del speeds[:before]
    if not speeds or at_ns - speeds[-1][0] >= _APART_NS:
        speeds.append((at_ns, reading.speed_kph))
    return fall


def alert_id(reading: Reading, rule: str) -> str:
    ending = ".backfilled" if reading.backfilled else ""
    return f"{reading.vehicle_id}.{rule}.{reading.boot_epoch}.{reading.sequence}{ending}"


def expected(readings: Iterable[Reading]) -> set[Step]:
    oracle = Oracle()
    return {(alert, state) for reading in readings for alert, state, _ in oracle.steps(reading)}

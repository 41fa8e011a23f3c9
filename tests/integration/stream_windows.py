"""A fleet's readings, the windows that they make when added up plainly, and records that are no readings."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from confluent_kafka import Message
from google.protobuf.message import DecodeError
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.domain.units import QUANTITIES
from tests.integration.stream_sweeps import BEGIN_S, reading
from tests.support.topics import records as all_records

#: Characters of an id that can be one.
LONGEST_ID = 1_000
FIGURES = {
    "speed_kph": ("avg", "max", "min"),
    "fuel_level_percent": ("avg",),
    "battery_level_percent": ("avg",),
    "engine_temperature_celsius": ("avg", "max"),
    "payload_tons": ("avg", "max"),
}
Window = tuple[str, int, int]


def fleet(seed: int, begin_s: int, seconds: int, boot_epoch: int) -> list[Reading]:
    """Six vehicles at 1 Hz, 2 s apart, one silent after a minute, some values unknown."""
    choose = random.Random(seed)
    made = []
    for second in range(seconds):
        for vehicle in range(6):
            if vehicle == 5 and second >= 60:
                continue
            values = {q: choose.choice([None, choose.uniform(30, 59)]) for q in FIGURES}
            if vehicle == 4:
                values["payload_tons"] = None
            at_s = begin_s + second - vehicle * 0.4 + 2
            history = vehicle == 3 and second % 7 == 0
            name, sequence = f"WINDOW-{vehicle}", second + 1
            made.append(reading(name, sequence, at_s, values, boot_epoch=boot_epoch, backfilled=history))
    return made


def shuffle(readings: list[Reading]) -> list[Reading]:
    """As they might arrive: those of about two seconds in any order, a vehicle's own too."""
    choose = random.Random(4)
    parts = (readings[i : i + 12] for i in range(0, len(readings), 12))
    return [each for part in parts for each in choose.sample(part, len(part))]


def recomputed(readings: Iterable[Reading], *, fleet: bool = False) -> dict[Window, VehicleMetrics]:
    """Plainly, from each reading once, as it came first. fleet: those of all vehicles together too."""
    once: dict[tuple[str, int, int], Reading] = {}
    for r in readings:
        once.setdefault((r.vehicle_id, r.boot_epoch, r.sequence), r)
    windows: dict[Window, list[Reading]] = defaultdict(list)
    for r in once.values():
        for length in (60, 300):
            for whose in (r.vehicle_id, "") if fleet else (r.vehicle_id,):
                windows[whose, r.event_time.seconds // length * length, length].append(r)
    return {key: figures_of(key, members) for key, members in windows.items()}


def figures_of(key: Window, members: list[Reading]) -> VehicleMetrics:
    """Averages are of whole millionths, so that they are the same to the bit in whatever order they are added up."""
    result = VehicleMetrics(vehicle_id=key[0], revision=1, reading_count=len(members))
    result.window_start_time.seconds, result.window_length.seconds = key[1], key[2]
    for quantity, statistics in FIGURES.items():
        known = [getattr(r, quantity) for r in members if quantity in {f.name for f, _ in r.ListFields()}]
        values = [value for value in known if QUANTITIES[quantity].admits(value)]
        if values:
            total = sum(math.floor(value * 1e6 + 0.5) for value in values)
            found = {"avg": float(total) / (float(len(values)) * 1e6), "max": max(values), "min": min(values)}
            for statistic in statistics:
                setattr(result, f"{quantity}_{statistic}", found[statistic])
    return result


def sound_readings(records: Iterable[Message]) -> list[Reading]:
    """Of vehicle-telemetry: what the job takes for readings, by partition and offset, never later than written."""
    found = []
    for record in sorted(records, key=lambda r: (r.partition(), r.offset())):
        try:
            made = Reading.FromString(record.value() or b"")
        except DecodeError:
            continue
        if not (made.vehicle_id and made.boot_epoch and made.sequence and made.HasField("event_time")):
            continue
        if len(made.vehicle_id) > LONGEST_ID:
            continue
        numbers = [value for _, value in made.ListFields() if isinstance(value, float)]
        if all(map(math.isfinite, numbers)) and made.event_time.seconds < 2**33:
            written_ns = record.timestamp()[1] * 1_000_000
            made.event_time.FromNanoseconds(min(made.event_time.ToNanoseconds(), written_ns))
            found.append(made)
    return found


def poison(seed: int, count: int) -> list[bytes]:
    """What other programs might write: noise, text, cut-off readings, readings that can't be true."""
    choose = random.Random(seed)
    whole = reading("POISON-001", 1, BEGIN_S, {"speed_kph": 99.0}).SerializeToString()
    infinite = reading("POISON-001", 2, BEGIN_S, {"speed_kph": float("inf")}).SerializeToString()
    far_away = reading("POISON-001", 3, BEGIN_S, {"speed_kph": 99.0})
    far_away.event_time.seconds = 2**40
    kinds: list[Callable[[], bytes]] = [
        lambda: choose.randbytes(choose.randint(1, 200)),
        lambda: b'{"speed_kph": %d}' % choose.randint(0, 99),
        lambda: whole[: choose.randint(0, 20)],
        lambda: Reading(vehicle_id="POISON-002", boot_epoch=1, speed_kph=99).SerializeToString(),
        lambda: infinite,
        lambda: far_away.SerializeToString(),
    ]
    return [choose.choice(kinds)() for _ in range(count)]


def windows_in(records: Iterable[Message], prefix: str) -> list[tuple[Window, VehicleMetrics]]:
    found = []
    for record in records:
        metrics = VehicleMetrics.FromString(record.value() or b"")
        assert record.key() == metrics.vehicle_id.encode()
        if metrics.vehicle_id.startswith(prefix):
            key = (metrics.vehicle_id, metrics.window_start_time.seconds, metrics.window_length.seconds)
            found.append((key, metrics))
    return found


def assert_same(found: VehicleMetrics, expected: VehicleMetrics) -> None:
    """The same fields present, each the same to the bit."""
    assert {f.name for f, _ in found.ListFields()} == {f.name for f, _ in expected.ListFields()}
    for field, value in expected.ListFields():
        assert getattr(found, field.name) == value, field.name


def assert_all_right(bootstrap: str, begin_s: int, end_s: int) -> dict[Window, VehicleMetrics]:
    """Each window of that time, of each vehicle and of the fleet, is what all records of the raw topic make.

    Returns them, each in its highest revision.
    """
    windows = windows_in(all_records(bootstrap, "vehicle-metrics"), "")
    assert set(Counter((key, window.revision) for key, window in windows).values()) == {1}, "no revision twice"
    found = {key: window for key, window in latest(windows).items() if begin_s <= key[1] < end_s}
    expected = recomputed(sound_readings(all_records(bootstrap, "vehicle-telemetry")), fleet=True)
    assert found.keys() == {key for key in expected if begin_s <= key[1] < end_s}
    for key, window in found.items():
        expected[key].revision = window.revision
        assert_same(window, expected[key])
    return found


def latest(windows: Iterable[tuple[Window, VehicleMetrics]]) -> dict[Window, VehicleMetrics]:
    """Of each window the highest revision."""
    found: dict[Window, VehicleMetrics] = {}
    for key, window in windows:
        if key not in found or window.revision > found[key].revision:
            found[key] = window
    return found

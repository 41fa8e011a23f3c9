"""A fleet's readings, the windows that they make when added up plainly, and records that are no readings."""

import random
from collections import defaultdict
from collections.abc import Callable

import pytest
from confluent_kafka import Message
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.integration.stream_sweeps import BEGIN_S, reading

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


def recomputed(readings: list[Reading]) -> dict[Window, VehicleMetrics]:
    """Plainly, from each reading once."""
    once = {(r.vehicle_id, r.boot_epoch, r.sequence): r for r in readings}
    windows: dict[Window, list[Reading]] = defaultdict(list)
    for r in once.values():
        for length in (60, 300):
            windows[r.vehicle_id, r.event_time.seconds // length * length, length].append(r)
    return {key: figures_of(key, members) for key, members in windows.items()}


def figures_of(key: Window, members: list[Reading]) -> VehicleMetrics:
    result = VehicleMetrics(vehicle_id=key[0], revision=1, reading_count=len(members))
    result.window_start_time.seconds, result.window_length.seconds = key[1], key[2]
    for quantity, statistics in FIGURES.items():
        values = [getattr(r, quantity) for r in members if quantity in {f.name for f, _ in r.ListFields()}]
        if values:
            found = {"avg": sum(values) / len(values), "max": max(values), "min": min(values)}
            for statistic in statistics:
                setattr(result, f"{quantity}_{statistic}", found[statistic])
    return result


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


def windows_in(records: list[Message], prefix: str) -> list[tuple[Window, VehicleMetrics]]:
    found = []
    for record in records:
        metrics = VehicleMetrics.FromString(record.value() or b"")
        assert record.key() == metrics.vehicle_id.encode()
        if metrics.vehicle_id.startswith(prefix):
            key = (metrics.vehicle_id, metrics.window_start_time.seconds, metrics.window_length.seconds)
            found.append((key, metrics))
    return found


def assert_same(found: VehicleMetrics, expected: VehicleMetrics) -> None:
    """The same fields present; averages but for the order of the sum."""
    assert {f.name for f, _ in found.ListFields()} == {f.name for f, _ in expected.ListFields()}
    for field, value in expected.ListFields():
        if field.name.endswith("_avg"):
            assert getattr(found, field.name) == pytest.approx(value, rel=1e-12)
        else:
            assert getattr(found, field.name) == value, field.name

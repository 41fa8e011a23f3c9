"""The stream jobs' Java against the plain definitions, in a JVM without servers, what it keeps through checkpoints.

What SQL computes between them is in test_flink_jobs.py.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from haul.telemetry.v1.alert_pb2 import AlertState
from haul.telemetry.v1.telemetry_pb2 import Reading

from deploy.local.tools import CHECKOUT, Tools
from flink_jobs.alerts_sql import judged as told_to_judge
from flink_jobs.rules import LONGEST_SILENCE_S, RULES
from flink_jobs.watched import Fall
from tests.integration.stream_stories import STORIES, fleet_of_chance
from tests.support.alert_judge import Lane, Step
from tests.support.places import POINTS, reversed_zone

PROGRAM = Path(__file__).with_name("StreamFunctions.java")
SEED = int(os.environ.get("PITWALL_TEST_SEED", "1"))


@cache
def command() -> tuple[str, ...]:
    tools = Tools(os.environ)
    libraries = sorted((tools.flink_home() / "lib").glob("flink-*.jar"))
    classes = os.pathsep.join(map(str, [CHECKOUT / "flink_jobs/target/pitwall-flink.jar", *libraries]))
    return str(tools.java_home() / "bin/java"), "-XX:TieredStopAtLevel=1", "-cp", classes, str(PROGRAM)


def called(lines: Iterable[str]) -> list[str]:
    """What the functions give, a line each."""
    done = subprocess.run(command(), input="\n".join(lines), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def lanes() -> Iterator[tuple[str, Lane, Reading, list[Step]]]:
    """Each reading of the stories and of fleets of chance that says how its vehicle is, and the steps that it makes."""
    fleets = [(str(number), story.readings, story.entries) for number, story in enumerate(STORIES)]
    for seed in range(SEED, SEED + 10):
        fleet = fleet_of_chance(seed, vehicles=10, readings=60)
        fleets.append((f"seed {seed}", fleet.told, fleet.entries))
    for name, told, entries in fleets:
        known = {entry.vehicle_id: entry for entry in entries}
        found: dict[tuple[str, bool], Lane] = {}
        for reading in told:
            key = reading.vehicle_id, reading.backfilled
            lane = found.setdefault(key, Lane(*key, entry=known.get(reading.vehicle_id)))
            before = len(lane.readings)
            steps = lane.observe(reading)
            if len(lane.readings) > before:
                yield f"{name} {key}", lane, reading, steps


def test_the_judge_comes_to_the_steps_of_the_plain_definition() -> None:
    lines, expected = [], []
    for name, lane, reading, steps in lanes():
        place = f"{reading.boot_epoch}|{reading.sequence}|{reading.event_time.ToNanoseconds()}"
        levels = ",".join(str(lane.level(rule)) for rule in RULES)
        lines.append(f"judge|{name}|{told_to_judge(RULES)}|true|{place}|{levels}")
        expected.append(";".join(map(_told, steps)))
    assert called(lines) == expected
    assert sum(map(bool, expected)) > 1_000


def _told(step: Step) -> str:
    _, rule, boot_epoch, sequence = step.alert_id.split(".")[:4]
    state = next(name for name, number in AlertState.items() if number == step.state)
    return f"{rule},{state},{boot_epoch},{sequence},{step.raised_ns}"


def test_rates_are_those_of_the_plain_definition() -> None:
    lines, expected = [], []
    for name, lane, reading, _ in lanes():
        value = reading.speed_kph if reading.HasField("speed_kph") else None
        lines.append(f"rate|{name}|{reading.event_time.ToNanoseconds()}|{value}")
        fall = lane.value(Fall("speed_kph"))
        expected.append(None if fall is None else -fall)
    found = [None if rate == "None" else float(rate) for rate in called(lines)]
    assert found == expected
    assert sum(rate is not None for rate in expected) > 1_000


def test_a_point_is_in_a_zone_where_the_domain_says_so() -> None:
    lines = []
    for zone, latitude, longitude, _ in POINTS:
        for listed in (zone, reversed_zone(zone)):
            corners = ",".join(f"{c.latitude_degrees},{c.longitude_degrees}" for c in listed.corners)
            lines.append(f"contains|{corners}|{latitude}|{longitude}")
    lines += ["contains||1|1", "contains||None|1", f"{lines[0].rpartition('|')[0]}|None"]
    expected = [str(inside).lower() for *_, inside in POINTS for _ in range(2)]
    assert called(lines) == [*expected, "true", "true", "null"]


def test_time_goes_on_with_what_is_written_and_with_no_clock_beyond_the_present() -> None:
    hour_ms, day_ms = 3_600_000, 86_400_000
    told = [
        (0, 0, 0, 0),
        (1, -day_ms, 0, 0),  # history, written now
        (2, -day_ms, hour_ms, 0),  # history or a bad record, by a clock that is ahead
        (0, hour_ms, hour_ms, 0),  # a reading of such a clock
        (0, -1_000, 0, 0),
    ]
    found = called(f"patience|{partition}|{event_ms}|{written_ms}" for partition, event_ms, written_ms, _ in told)
    assert [int(come_s) for come_s in found] == [come_s for *_, come_s in told]


def test_a_text_of_any_length_can_be_kept() -> None:
    assert called(["registered|9", "registered|1000", "registered|70000"]) == ["9", "1000", "1000"]


@pytest.mark.parametrize(
    ("watermark", "closes", "may_be"),
    [
        pytest.param(None, 60_000, True, id="nobody knows the time"),
        pytest.param(59_999, 59_999, True, id="time has come to its end"),
        pytest.param(59_998, 59_999, False, id="time is a moment short of its end"),
        pytest.param(-35_000, -1_000, True, id="over before the start, and after a gap time comes anew from before"),
        pytest.param(-1_080_000, -840_000, True, id="over before a gap of 9 minutes up to the start"),
        pytest.param(-1_205_000, -1_204_000, True, id="as far behind as it can be"),
        pytest.param(-35_000, 1_000, False, id="open at the start"),
        pytest.param(-1_300_000, -1_261_000, False, id="of a recording, in which there is no gap"),
    ],
)
def test_a_window_may_be_out_by_the_time_or_by_what_the_windows_know_of_before_a_restart(
    watermark: int | None, closes: int, may_be: bool
) -> None:
    assert called([f"out|{watermark}|{closes}"]) == [str(may_be).lower()]


def test_after_the_longest_gap_all_that_was_over_before_it_may_be_out() -> None:
    """Windows know of the time until the gap began; the task that starts after it begins as far before that again."""
    gap_ms, patience = 599_000, "patience|0|-599000|-599000"
    come_ms = 1_000 * int(called([patience])[0])
    assert come_ms == -2 * gap_ms
    unknown = range(come_ms + 1_000, -gap_ms, 10_000)
    assert set(called(f"out|{come_ms}|{closes_ms}" for closes_ms in unknown)) == {"true"}


@pytest.mark.parametrize(
    ("rules", "levels", "steps"),
    [
        pytest.param("SECOND=0;FIRST=0", "0,1", "SECOND,ALERT_STATE_CLEARED,1,1,0", id="the order changes"),
        pytest.param("FIRST=0;NEW=0;SECOND=0", "1,1,1", "NEW,ALERT_STATE_RAISED,1,9,90", id="a rule is added"),
        pytest.param("FIRST=0;SECOND=60000", "2,1", "FIRST,ALERT_STATE_ESCALATED,1,1,0", id="a hold time is added"),
        pytest.param("SECOND=0", "1", "FIRST,ALERT_STATE_CLEARED,1,1,0", id="a rule is gone"),
        pytest.param(
            "THIRD=0",
            "None",
            "FIRST,ALERT_STATE_CLEARED,1,1,0;SECOND,ALERT_STATE_CLEARED,1,1,0",
            id="all are gone that were there",
        ),
    ],
)
def test_what_is_kept_outlives_a_change_of_the_rules(rules: str, levels: str, steps: str) -> None:
    """FIRST and SECOND are raised; each lane has its chance to be in a savepoint when the table changes."""
    silence = round(LONGEST_SILENCE_S * 1000)
    lines = []
    for lane in range(20):
        lines.append(f"judge|{lane}|{silence};FIRST=0;SECOND=0|true|1|1|0|1,1")
        lines.append(f"judge|{lane}|{silence};{rules}|true|1|9|90|{levels}")
    answers = called(lines)[1::2]
    assert {";".join(sorted(answer.split(";"))) for answer in answers} == {steps}

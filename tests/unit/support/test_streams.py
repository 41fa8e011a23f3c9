"""The checker of the chaos tests finds what is planted, and nothing where nothing is wrong."""

import pytest
from haul.telemetry.v1.alert_pb2 import Alert, AlertState
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.integration.stream_sweeps import SWEEPS, reading, story
from tests.integration.stream_windows import fleet, recomputed
from tests.support.alerts import CLEARED, RAISED, Step, expected
from tests.support.streams import alert_troubles, latest, over, repeats, step, window_troubles

BEGIN_S, BOOT = 1_763_000_100, 1_763_000_000_000
READINGS = [each for sweep in SWEEPS for each in story(sweep)]
FLEET = fleet(1, BEGIN_S, 130, BOOT)
RECOMPUTED = recomputed(FLEET)
OVER_S = BEGIN_S + 120


def told(step: Step, **words: object) -> Alert:
    return Alert(alert_id=step[0], state=AlertState.Value(f"ALERT_STATE_{step[1]}"), **words)  # type: ignore[arg-type]


ALERTS = [told(step) for step in sorted(expected(READINGS))]
WINDOWS = [window for _, window in sorted(RECOMPUTED.items())]


def test_alerts_that_are_right_are_right_again_and_in_any_order() -> None:
    assert alert_troubles(expected(READINGS), ALERTS) == []
    assert alert_troubles(expected(READINGS), [*reversed(ALERTS), *ALERTS[:7]]) == []
    assert repeats([*ALERTS, *ALERTS[:7]]) == 7


@pytest.mark.parametrize("planted", range(len(ALERTS)))
def test_each_missing_step_is_found(planted: int) -> None:
    (trouble,) = alert_troubles(expected(READINGS), [*ALERTS[:planted], *ALERTS[planted + 1 :]])
    assert trouble == f"missing: {' '.join(step(ALERTS[planted]))}"


@pytest.mark.parametrize(
    "planted",
    [
        told((ALERTS[0].alert_id.replace(".101", ".102").replace(".4", ".5").replace(".201", ".202"), RAISED)),
        told((ALERTS[0].alert_id, "ESCALATED")),
        told(("SOMEBODY-001.HIGH_SPEED.1.1", RAISED)),
    ],
    ids=["raised twice under two ids", "a state that nothing led to", "a vehicle that sent nothing"],
)
def test_a_step_too_many_is_found(planted: Alert) -> None:
    (trouble,) = alert_troubles(expected(READINGS), [*ALERTS, planted])
    assert trouble == f"nothing raised or cleared it: {' '.join(step(planted))}"


def test_a_step_that_is_told_in_two_ways_is_found() -> None:
    (trouble,) = alert_troubles(expected(READINGS), [*ALERTS, told(step(ALERTS[3]), sequence=99)])
    assert trouble == f"told in 2 ways: {' '.join(step(ALERTS[3]))}"


def test_windows_that_are_right_are_right_also_where_one_is_still_open() -> None:
    awaited = over(RECOMPUTED, OVER_S)
    assert awaited == {key for key in RECOMPUTED if key[1:] in ((BEGIN_S, 60), (BEGIN_S + 60, 60))}
    assert window_troubles(RECOMPUTED, WINDOWS, awaited) == []


def changed(window: VehicleMetrics, **words: object) -> VehicleMetrics:
    copy = VehicleMetrics()
    copy.CopyFrom(window)
    for name, value in words.items():
        setattr(copy, name, value)
    return copy


@pytest.mark.parametrize("planted", [n for n, window in enumerate(WINDOWS) if window.window_length.seconds == 60])
def test_each_window_that_is_missing_doubled_or_wrong_is_found(planted: int) -> None:
    window, others = WINDOWS[planted], [*WINDOWS[:planted], *WINDOWS[planted + 1 :]]
    for wrong in (
        others,
        [*WINDOWS, window],
        [*others, changed(window, reading_count=window.reading_count + 1)],
        [*others, changed(window, speed_kph_avg=window.speed_kph_avg + 1e-6)],
        [*others, changed(window, vehicle_id="NOBODY-001")],
        [*WINDOWS, changed(window, revision=2, speed_kph_max=99.0)],
    ):
        assert window_troubles(RECOMPUTED, wrong, set(RECOMPUTED))
    assert window_troubles(RECOMPUTED, [changed(window, speed_kph_max=99.0), *others], set(RECOMPUTED))
    mended = changed(window, revision=2)
    assert window_troubles(RECOMPUTED, [*others, changed(window, speed_kph_max=99.0), mended], set(RECOMPUTED)) == []
    assert latest([mended, window])[window.vehicle_id, window.window_start_time.seconds, 60].revision == 2


def test_a_window_without_readings_is_found() -> None:
    stranger = changed(WINDOWS[0], vehicle_id="NOBODY-001")
    (trouble,) = window_troubles(RECOMPUTED, [*WINDOWS, stranger], over(RECOMPUTED, OVER_S))
    assert "of no reading" in trouble


def test_a_reading_that_is_lost_makes_a_window_wrong() -> None:
    lost = Reading()
    lost.CopyFrom(FLEET[10])
    without = [window for _, window in sorted(recomputed(FLEET[:10] + FLEET[11:]).items())]
    assert window_troubles(RECOMPUTED, without, over(RECOMPUTED, OVER_S))


def test_unknown_values_neither_raise_nor_clear_and_a_raised_alert_is_raised_once() -> None:
    values = [64.0, None, 58.0, 65.0, None, 56.0, 61.0]
    readings = [reading("ORACLE-001", n, BEGIN_S + n, {"speed_kph": v}) for n, v in enumerate(values, 1)]
    boot = readings[0].boot_epoch
    first, second = f"ORACLE-001.HIGH_SPEED.{boot}.1", f"ORACLE-001.HIGH_SPEED.{boot}.7"
    assert expected(readings) == {(first, RAISED), (first, CLEARED), (second, RAISED)}

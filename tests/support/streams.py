"""What the stream jobs wrote, held against the raw topic. Each trouble is a sentence; none: all is right."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from haul.telemetry.v1.alert_pb2 import Alert, AlertState
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics

from tests.integration.stream_windows import Window, assert_same
from tests.support.alerts import Step

_MOST_TOLD = 20


def alert_troubles(wanted: Collection[Step], alerts: Sequence[Alert]) -> list[str]:
    """Steps that are missing, that should not be, or that were told in two ways.

    The same step may come again, as it does after a failure, with the same words: consumers keep it once. wanted: those
    of tests.support.alerts.
    """
    steps, found = set(wanted), {step(alert) for alert in alerts}
    troubles = [f"missing: {_told(each)}" for each in sorted(steps - found)]
    troubles += [f"nothing raised or cleared it: {_told(each)}" for each in sorted(found - steps)]
    ways: dict[Step, set[bytes]] = {}
    for alert in alerts:
        ways.setdefault(step(alert), set()).add(alert.SerializeToString(deterministic=True))
    troubles += [f"told in {len(told)} ways: {_told(each)}" for each, told in sorted(ways.items()) if len(told) > 1]
    return _in_short(troubles)


def step(alert: Alert) -> Step:
    return alert.alert_id, AlertState.Name(alert.state).removeprefix("ALERT_STATE_")


def repeats(alerts: Sequence[Alert]) -> int:
    """Steps that came again."""
    return len(alerts) - len({step(alert) for alert in alerts})


def over(windows: Iterable[Window], now_s: float) -> set[Window]:
    """Those that were over by then, in seconds since 1970."""
    return {key for key in windows if key[1] + key[2] <= now_s}


def window_troubles(
    wanted: Mapping[Window, VehicleMetrics], windows: Sequence[VehicleMetrics], awaited: Collection[Window]
) -> list[str]:
    """Windows that are missing of those awaited, wrong, of no reading, or there more than once in one revision.

    windows: committed ones, in the order in which they came. The highest revision counts. wanted: all, recomputed from
    the raw topic; those that aren't awaited are still open, and may be there or not.
    """
    found, times = latest(windows), Counter((key_of(window), window.revision) for window in windows)
    troubles = [f"no window {key}" for key in sorted(set(awaited) - found.keys())]
    troubles += [f"window {key} of no reading" for key in sorted(found.keys() - wanted.keys())]
    troubles += [f"{count} times window {key}, revision {n}" for (key, n), count in sorted(times.items()) if count > 1]
    for key in sorted(found.keys() & set(awaited)):
        troubles += _difference(key, found[key], wanted[key])
    return _in_short(troubles)


def latest(windows: Iterable[VehicleMetrics]) -> Mapping[Window, VehicleMetrics]:
    """Of each window the highest revision."""
    found: dict[Window, VehicleMetrics] = {}
    for window in windows:
        if window.revision >= found.get(key_of(window), window).revision:
            found[key_of(window)] = window
    return found


def key_of(window: VehicleMetrics) -> Window:
    return window.vehicle_id, window.window_start_time.seconds, window.window_length.seconds


def _difference(key: Window, found: VehicleMetrics, wanted: VehicleMetrics) -> list[str]:
    same_revision = VehicleMetrics()
    same_revision.CopyFrom(found)
    same_revision.revision = wanted.revision
    try:
        assert_same(same_revision, wanted)
    except AssertionError:
        return [f"window {key} is {_short(found)} and not {_short(wanted)}"]
    return []


def _short(window: VehicleMetrics) -> str:
    return f"{window.reading_count} readings at {window.speed_kph_avg!r} km/h"


def _told(step: Step) -> str:
    return " ".join(step)


def _in_short(troubles: list[str]) -> list[str]:
    more = len(troubles) - _MOST_TOLD
    return troubles if more <= 0 else [*troubles[:_MOST_TOLD], f"and {more} more"]

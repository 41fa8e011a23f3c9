"""The clocks are the ones that they are named after."""

import time
from collections.abc import Callable
from datetime import UTC

import pytest

from pitwall import clock


@pytest.mark.parametrize(
    ("read", "kernel_clock"),
    [(clock.boottime_s, time.CLOCK_BOOTTIME), (clock.monotonic_s, time.CLOCK_MONOTONIC)],
)
def test_seconds_come_from_the_clock_of_that_name(
    read: Callable[[], float], kernel_clock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "clock_gettime", {kernel_clock: 12.5}.__getitem__)
    assert read() == 12.5


def test_wall_time_knows_its_zone() -> None:
    assert clock.wall_time().tzinfo is UTC

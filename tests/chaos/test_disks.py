"""Full disks: of the vehicles, and of two command services at once."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.chaos.breaking import small_disk
from tests.chaos.line import Line, say
from tests.chaos.told import stopping

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

#: From the request to braking while a disk is full: the push goes after 100 ms at the latest, and the vehicle's control
#: loop has one period, seconds.
PUSHED_WITHIN_S = 0.1 + 0.1


def test_on_a_full_disk_vehicles_brake_and_stay_latched_over_a_kill(site: Line) -> None:
    stack = site.stack
    with small_disk(stack, "agents", "agents", "32m") as disk:
        site.drive()
        disk.fill()
        with stopping(stack, "--all") as told:
            assert told.end() == 0
        took_s = site.bitten(told)
        stood_t = time.monotonic()
        stack.kill("agents")
        site.await_latched(told.stop_id)
        site.all_stayed(stood_t)
        durable = {line["vehicleId"] for _, line in told.lines if line.get("latchedDurably")}
        disk.free()
    site.await_latched(told.stop_id)
    say(f"agents' disk full: all brake in {took_s:.3f} s, {len(durable)} latches on it; latched after a kill as well")


@contextmanager
def growing(journal: Path) -> Iterator[None]:
    """A reader that never ends: each commit then takes new room, and none fits into what was written before."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM journal").fetchone()
        yield


def test_with_two_disks_of_three_full_a_stop_is_pushed_at_once_and_not_confirmed(site: Line) -> None:
    with ExitStack() as stays:
        disks = []
        for name in ("command-1", "command-2"):
            disk = stays.enter_context(small_disk(site.stack, name, name, "32m"))
            stays.enter_context(growing(disk.folder / f"{name}.sqlite"))
            disks.append(disk)
        site.drive()
        for disk in disks:
            disk.fill()
        with stopping(site.stack, "--all", "--wait", "8") as told:
            assert told.end() == 3, "they stand, and it is not confirmed"
        took_s = site.all_braked(told.issued_t, PUSHED_WITHIN_S)
        assert took_s > 0, "somebody drove when it was issued"
        told.assert_true(site.plant)
        assert told.summary["journaledBy"] == 1
        assert not told.summary["brakesBy"]
        freed_t = time.monotonic()
        disks[1].free()
        site.until(lambda: confirmed(site, told.stop_id), "it is confirmed once a majority has it on disk")
        confirmed_s = time.monotonic() - freed_t
        disks[0].free()
    site.await_latched(told.stop_id)
    say(
        f"two of three journals' disks full: all brake in {took_s:.3f} s, not confirmed; "
        f"confirmed {confirmed_s:.1f} s after one of them has room"
    )


def confirmed(site: Line, stop_id: str) -> bool:
    summary = site.operator.ask("stop-status", stop_id).lines[0]["summary"]
    assert summary.get("confirmed", False) == bool(summary.get("brakesByTime")), "a bound goes with the word confirmed"
    return bool(summary.get("confirmed", False))

"""Disks that are full or take no writes any more: of the vehicles, and of one and two command services."""

import json
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.chaos.disks import failing_disk, small_disk
from tests.chaos.line import Line, say
from tests.chaos.told import stopping
from tests.support.operator import Json

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

#: From the request to braking while a disk is full: the push goes after 100 ms at the latest, and the vehicle's control
#: loop has one period, seconds.
PUSHED_WITHIN_S = 0.1 + 0.1
#: SQLite's words for a file that was writable when it was opened, and is not now.
READ_ONLY = "attempt to write a readonly database"


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


def test_on_a_disk_that_takes_no_writes_vehicles_brake_and_stay_latched_and_it_is_said(site: Line) -> None:
    """In memory: a latch is on no disk, and nobody says that it is."""
    stack = site.stack
    with failing_disk(stack, "agents", "agents") as disk:
        site.drive()
        disk.fail()
        # An order that can't be kept is not carried out.
        answer = site.operator.ask("drill", "--kind", "link-loss", site.driving()[0])
        assert answer.exit_code != 0
        assert "NOT_RECORDED" in f"{answer.lines} {answer.stderr}"
        with stopping(stack, "--all") as told:
            assert told.end() == 0
        took_s = site.bitten(told)
        stood_t = time.monotonic()
        assert not [line for _, line in told.lines if line.get("latchedDurably")]
        status, parts = health(site, "agents")
        assert (status, parts["latch_files"]["ok"], parts["state"]["ok"]) == (503, False, False)
        assert "Read-only file system" in parts["latch_files"]["detail"]
        # Without memory too they stand, and what they had latched they hear before they could move.
        stack.lose("agents")
        site.all_stayed(stood_t)
    site.await_latched(told.stop_id)
    site.all_stayed(stood_t)
    say(
        f"agents' disk takes no writes: all brake in {took_s:.3f} s, no latch is called durable; all stand after a kill"
    )


def test_command_services_whose_disks_take_no_writes_say_what_they_cannot(site: Line) -> None:
    """One of three is not missed, and its own stops are confirmed by the others. Of two nothing is."""
    one = ("--server", site.stack.address("command-2"))
    with (
        failing_disk(site.stack, "command-2", "command-2") as first,
        failing_disk(site.stack, "command-3", "command-3") as second,
    ):
        site.drive()
        first.fail()
        site.until(lambda: health(site, "command-2")[0] == 503, "its health says so")
        assert health(site, "command-2")[1]["journal"]["detail"] in ("disk I/O error", READ_ONLY)
        assert site.driving(), "one of three is not missed"
        with stopping(site.stack, "--all", *one) as told:
            assert told.end() == 0
        took_s = site.bitten(told)
        assert (told.summary["journaledBy"], bool(told.summary["brakesBy"])) == (2, True)
        site.drive()
        second.fail()
        with stopping(site.stack, "--all", "--wait", "8", *one) as unconfirmed:
            assert unconfirmed.end() == 3, "they stand, and it is not confirmed"
        alone_s = site.all_braked(unconfirmed.issued_t)
        unconfirmed.assert_true(site.plant)
        assert (unconfirmed.summary["journaledBy"], unconfirmed.summary["brakesBy"]) == (1, None)
    site.until(lambda: confirmed(site, unconfirmed.stop_id), "it is confirmed once the disks are whole")
    site.await_latched(unconfirmed.stop_id)
    say(
        f"command-2's disk takes no writes: its stop bites in {took_s:.3f} s, confirmed by two; "
        f"command-3's too: in {alone_s:.3f} s, not confirmed"
    )


def health(site: Line, name: str) -> tuple[int, dict[str, Json]]:
    """HTTP status and parts."""
    try:
        with urllib.request.urlopen(f"http://{site.stack.address(f'{name}-metrics')}/healthz", timeout=10) as answer:
            return answer.status, json.load(answer)["parts"]
    except urllib.error.HTTPError as answer:
        return answer.code, json.load(answer)["parts"]


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

"""Disks of vehicles that are full or read-only: live telemetry goes on, it is said, and a stop holds."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent import outbox_writer
from edge_agent.outbox import Bounds, NewReading
from edge_agent.outbox_commands import Command, Fetch, Lose, Outcome, Remove
from edge_agent.outbox_writer import OutboxWriter
from edge_agent.readings_log import ReadingsLog
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from pitwall.clock import boottime_s
from pitwall.domain.sequence import SequenceRange
from tests.chaos.line import say
from tests.chaos.telemetry.disk import failing_disk_at, remount, tmpfs
from tests.chaos.telemetry.yard import Yard, until
from tests.integration.driving import BRAKES_WITHIN_S
from tests.support.operator import Operator
from tests.support.plant import Plant

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

VEHICLES = 5
VEHICLE = "KOMATSU-930E-001"
WAIT_S = 10.0


class Bench:
    """The outbox's thread on a disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: Queue[Outcome] = Queue()
        self.writer = OutboxWriter(folder / "outbox.sqlite", Bounds(10**9, 1e9), ReadingsLog(None), self.told.put)

    def run(self, *commands: Command) -> Outcome:
        """The outcome of the last of them."""
        for command in commands:
            assert self.writer.put(command)
            if not isinstance(command, Remove):
                outcome = self.told.get(timeout=WAIT_S)
        return outcome

    def end(self) -> None:
        assert self.writer.close(WAIT_S)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(outbox_writer, "OUTBOX_RETRY_S", 0.0)
    with tmpfs(tmp_path / "disk", "2m") as folder:
        yield folder


def new(sequence: int) -> NewReading:
    made = Reading(vehicle_id=VEHICLE, boot_epoch=7, sequence=sequence, speed_kph=12.5)
    return NewReading(VEHICLE, Stored(7, sequence, made.SerializeToString() + bytes(2000)), boottime_s())


def sequences(outcome: Outcome) -> list[int] | None:
    ((_, found),) = outcome.fetched
    return None if found is None else [stored.sequence for stored in found]


def test_a_full_disk_keeps_what_it_has_and_takes_the_rest_when_there_is_room(small: Path) -> None:
    bench, ballast = Bench(small), small / "ballast"
    bench.run(new(1), new(2))
    with ballast.open("wb", buffering=0) as file:
        fill(file.fileno())
    outcome = bench.run(*map(new, range(3, 40)))
    assert "full" in outcome.problem
    assert [r.stored.sequence for r in outcome.stored] == [39], "live readings are offered all the same"
    assert sequences(bench.run(Fetch(VEHICLE, Wanted(7, 1, 50)))) == list(range(1, 40))
    bench.run(Lose(VEHICLE, (Lost(7, SequenceRange(60, 70), "OUTBOX_BUSY"),)), Remove(VEHICLE, 7, (one(2), one(30))))
    ballast.unlink()
    outcome = bench.run(new(40))
    assert (outcome.problem, outcome.unsaved) == ("", 0)
    bench.end()
    again = Bench(small)
    spans = [SequenceRange(1, 1), SequenceRange(3, 29), SequenceRange(31, 40)]
    assert again.writer.left_over(VEHICLE) == (
        [(7, r) for r in spans],
        [Lost(7, SequenceRange(60, 70), "OUTBOX_BUSY")],
    )
    again.end()


def test_a_disk_that_is_read_only_at_the_start_takes_everything_once_it_is_not(small: Path) -> None:
    first = Bench(small)
    first.run(new(1))
    first.end()
    remount(small, "ro")
    bench = Bench(small)
    outcome = bench.run(new(2))
    assert outcome.problem
    assert [r.stored.sequence for r in outcome.stored] == [2]
    assert sequences(bench.run(Fetch(VEHICLE, Wanted(7, 2, 2)))) == [2], "from memory"
    assert sequences(bench.run(Fetch(VEHICLE, Wanted(7, 1, 9)))) is None, "it can't say what it has: nothing is lost"
    remount(small, "rw")
    outcome = bench.run(new(3))
    assert (outcome.problem, outcome.unsaved) == ("", 0)
    assert sequences(bench.run(Fetch(VEHICLE, Wanted(7, 1, 9)))) == [1, 2, 3]
    bench.end()


def one(sequence: int) -> SequenceRange:
    return SequenceRange(sequence, sequence)


def fill(descriptor: int) -> None:
    """To the last byte."""
    for size in (65_536, 4096, 1):
        try:
            while True:
                os.write(descriptor, bytes(size))
        except OSError:
            continue


def test_on_a_disk_that_turns_read_only_telemetry_goes_on_and_a_stop_holds(yard: Yard) -> None:
    operator, plant = Operator(yard.stack.home), Plant(yard.stack.places.plant)
    with yard.agents("read-only", 1, VEHICLES) as agents, failing_disk_at(agents.folder / "data") as disk:
        try:
            judge = yard.judge(agents)
            agents.start()
            agents.await_connected()
            until(lambda: operator.ask("order", "RESUME", VEHICLE).exit_code == 0, "it is resumed")
            until(lambda: operator.ask("order", "START_ROUTE", VEHICLE).exit_code == 0, "it is under way")
            plant.wait(VEHICLE, "it drives", lambda line: line.speed_kph > 5)
            judge.look(1.0)
            disk.fail()
            until(lambda: agents.metric("pitwall_agent_outbox_failures_total") > 0, "the fault is counted")
            told = outbox_part(agents.metrics_address)
            failed_s = time.monotonic()
            judge.look(3.0)
            asked_t = time.monotonic()
            operator.do("stop", VEHICLE)
            braked = plant.wait(VEHICLE, "it brakes", lambda line: line.brake, since_t=asked_t)
            plant.wait(VEHICLE, "it stands", lambda line: line.speed_kph == 0, since_t=asked_t)
            verdict, took_s = judge.await_all(30.0)
            judge.close()
        finally:
            agents.kill()
    say(
        f"a disk that turns read-only under {VEHICLES} vehicles: {verdict.figures}; complete {took_s:.1f} s after a "
        f"stop that came {asked_t - failed_s:.0f} s later and braked in {braked.t - asked_t:.3f} s; "
        f"health: {told['detail']}"
    )
    assert not told["ok"]
    assert verdict.complete, str(verdict)
    assert braked.t - asked_t <= BRAKES_WITHIN_S


def outbox_part(address: str) -> dict[str, object]:
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=5) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:  # another part is not well either
        body = error.read()
    part: dict[str, object] = json.loads(body)["parts"]["outbox"]
    return part

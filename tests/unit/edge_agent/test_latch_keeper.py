"""The thread that writes latch files."""

import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from edge_agent.effects import LatchRecord
from edge_agent.latch import LatchFile
from edge_agent.latch_keeper import LatchKeeper
from edge_agent.limits import LATCH_RETRY_S

WAIT_S = 5.0


class FakeFile(LatchFile):
    """A file on a disk that can be hung and full."""

    def __init__(self) -> None:
        self.records: list[LatchRecord] = []
        self.flowing = threading.Event()
        self.flowing.set()
        self.entered = threading.Event()
        self.refusals = 0
        self.refusal: Exception = OSError("full")

    def write(self, record: LatchRecord) -> None:
        self.entered.set()
        assert self.flowing.wait(WAIT_S)
        if self.refusals:
            self.refusals -= 1
            raise self.refusal
        self.records.append(record)


def record(*ids: str) -> LatchRecord:
    return LatchRecord(frozenset(ids))


class Bench:
    def __init__(self) -> None:
        self.files = {"A": FakeFile(), "B": FakeFile()}
        self.durable: Queue[tuple[str, LatchRecord]] = Queue()
        self.keeper = LatchKeeper(self.files, lambda vehicle_id, what: self.durable.put((vehicle_id, what)))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.files["A"].flowing.set()
    made.keeper.close(WAIT_S)


def test_what_is_saved_is_written_and_said(bench: Bench) -> None:
    bench.keeper.save("A", record("s1"))
    assert bench.durable.get(timeout=WAIT_S) == ("A", record("s1"))


def test_behind_a_hung_disk_only_the_newest_record_of_a_vehicle_waits(bench: Bench) -> None:
    file = bench.files["A"]
    file.flowing.clear()
    bench.keeper.save("A", record("s1"))
    assert file.entered.wait(WAIT_S)
    bench.keeper.save("A", record("s1", "s2"))
    bench.keeper.save("A", record("s1", "s2", "s3"))
    file.flowing.set()
    assert bench.durable.get(timeout=WAIT_S)[1] == record("s1")
    assert bench.durable.get(timeout=WAIT_S)[1] == record("s1", "s2", "s3")
    assert file.records == [record("s1"), record("s1", "s2", "s3")]


def test_what_the_disk_refuses_is_tried_until_it_takes_it(bench: Bench) -> None:
    bench.files["A"].refusals = 2
    bench.keeper.save("A", record("s1"))
    assert bench.durable.get(timeout=WAIT_S + 2 * LATCH_RETRY_S) == ("A", record("s1"))
    assert bench.keeper.failures == 2


def test_a_newer_record_takes_the_place_of_a_refused_one(bench: Bench) -> None:
    bench.files["A"].refusals = 1
    bench.keeper.save("A", record("s1"))
    assert bench.files["A"].entered.wait(WAIT_S)
    bench.keeper.save("A", record("s1", "s2"))
    said = bench.durable.get(timeout=WAIT_S)
    assert said == ("A", record("s1", "s2"))


def test_one_vehicles_refusal_does_not_hold_up_another(bench: Bench) -> None:
    bench.files["A"].refusals = 10**6
    bench.keeper.save("A", record("s1"))
    bench.keeper.save("B", record("s2"))
    assert bench.durable.get(timeout=WAIT_S) == ("B", record("s2"))
    assert "A" in bench.keeper.problem


def test_close_writes_what_waits(bench: Bench) -> None:
    bench.keeper.save("A", record("s1"))
    assert bench.keeper.close(WAIT_S)
    assert bench.files["A"].records == [record("s1")]


def test_close_does_not_wait_for_a_hung_disk(bench: Bench) -> None:
    bench.files["A"].flowing.clear()
    bench.keeper.save("A", record("s1"))
    assert bench.files["A"].entered.wait(WAIT_S)
    assert not bench.keeper.close(0.05)


def test_a_fault_in_the_program_ends_neither_the_thread_nor_the_latches_of_others(bench: Bench) -> None:
    bench.files["A"].refusals, bench.files["A"].refusal = 1, ValueError("no such encoding")
    bench.keeper.save("A", record("s1"))
    assert bench.files["A"].entered.wait(WAIT_S)
    bench.keeper.save("B", record("s2"))
    said = {bench.durable.get(timeout=WAIT_S), bench.durable.get(timeout=WAIT_S)}
    assert said == {("A", record("s1")), ("B", record("s2"))}
    assert bench.keeper.failures == 1

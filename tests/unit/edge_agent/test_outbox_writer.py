"""The outbox's thread: stored before offered, memory where the disk fails, losses declared."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from queue import Queue

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent import outbox_writer
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.outbox_commands import Command, Fetch, Lose, Outcome, Remove
from edge_agent.outbox_writer import OutboxWriter
from edge_agent.readings_log import ReadingsLog
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from pitwall.clock import boottime_s
from pitwall.domain.sequence import SequenceRange
from pitwall.reading import content_crc32
from tests.unit.edge_agent.builders import VEHICLE

WAIT_S = 5.0
ROOMY = Bounds(10**9, 7 * 86_400.0)


def new(sequence: int, epoch: int = 7) -> NewReading:
    message = Reading(vehicle_id=VEHICLE, boot_epoch=epoch, sequence=sequence, speed_kph=12.5)
    return NewReading(VEHICLE, Stored(epoch, sequence, message.SerializeToString()), boottime_s())


def removed(first: int, last: int) -> Remove:
    return Remove(VEHICLE, 7, (SequenceRange(first, last),))


def fetch(first: int, last: int) -> Fetch:
    return Fetch(VEHICLE, Wanted(7, first, last))


def found(outcome: Outcome) -> list[int] | None:
    """By the one fetch in it."""
    ((_, readings),) = outcome.fetched
    return None if readings is None else [stored.sequence for stored in readings]


class Clock:
    """Both clocks of the computer, in place of Moment."""

    def __init__(self) -> None:
        self._began = Moment.now()
        self.ran_s = self.set_by_s = 0.0

    def now(self) -> Moment:
        wall = self._began.wall + timedelta(seconds=self.ran_s + self.set_by_s)
        return Moment(self._began.s + self.ran_s, wall)


class Bench:
    def __init__(self, path: Path, plant: Path | None = None) -> None:
        self.path = path
        self.told: Queue[Outcome] = Queue()
        self.writer = OutboxWriter(path, ROOMY, ReadingsLog(plant), self.told.put)

    def run(self, *commands: Command) -> list[Outcome]:
        """Each by itself, so that a test knows what shares a transaction."""
        outcomes = []
        for command in commands:
            assert self.writer.worker.put(command)
            outcomes.append(self.told.get(timeout=WAIT_S))
        return outcomes

    def on_disk(self) -> list[int]:
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as connection:
            return [row[0] for row in connection.execute("SELECT sequence FROM reading ORDER BY sequence")]

    def lost_on_disk(self) -> list[tuple[int, int, str]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT first, last, reason FROM lost ORDER BY first").fetchall()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """The disk hangs, with reading 3 in its hands."""
        entered, flowing = threading.Event(), threading.Event()

        class Hangs(ReadingsLog):
            def write(self, readings: list[NewReading]) -> None:
                entered.set()
                assert flowing.wait(WAIT_S)

        self.writer._log = Hangs(None)
        self.writer.put(new(3))
        assert entered.wait(WAIT_S)
        yield
        flowing.set()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "outbox.sqlite", tmp_path / "plant")
    yield made
    made.writer.close(WAIT_S)


@pytest.fixture
def disk_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[sqlite3.Error | None], None]:
    """Makes every commit fail, or none."""

    def set_error(error: sqlite3.Error | None) -> None:
        def commit(outbox: Outbox) -> None:
            if error is not None:
                raise error
            real(outbox)

        monkeypatch.setattr(Outbox, "commit", commit)

    real = Outbox.commit
    monkeypatch.setattr(outbox_writer, "OUTBOX_RETRY_S", 0.0)
    return set_error


FULL = sqlite3.OperationalError("database or disk is full")


def test_a_reading_is_on_disk_when_it_is_offered(bench: Bench) -> None:
    (outcome,) = bench.run(new(1))
    assert [r.stored.sequence for r in outcome.stored] == [1]
    assert bench.on_disk() == [1]
    assert (outcome.rows, outcome.unsaved, outcome.problem) == (1, 0, "")


def test_the_plants_line_is_there_first_and_names_what_it_holds(bench: Bench, tmp_path: Path) -> None:
    bench.run(new(1), new(2))
    lines = (tmp_path / "plant" / f"{VEHICLE}.readings").read_text().splitlines()
    crc = content_crc32(Reading.FromString(new(1).stored.content))
    assert lines[0] == f"7 1 {crc}"
    assert len(lines) == 2


def test_acked_readings_go_with_the_next_one(bench: Bench) -> None:
    bench.run(new(1), new(2), removed(1, 1))
    assert bench.on_disk() == [2]


def test_what_an_earlier_process_left_is_history(tmp_path: Path) -> None:
    first = Bench(tmp_path / "outbox.sqlite")
    first.run(new(1), new(2))
    first.writer.close(WAIT_S)
    again = Bench(tmp_path / "outbox.sqlite")
    assert again.writer.left_over(VEHICLE) == ([(7, SequenceRange(1, 2))], [])
    (outcome,) = again.run(fetch(1, 2))
    assert found(outcome) == [1, 2]
    again.writer.close(WAIT_S)


# A disk that fails


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        sqlite3.OperationalError("attempt to write a readonly database"),
        sqlite3.OperationalError("disk I/O error"),
    ],
    ids=["full", "read-only", "broken"],
)
def test_live_readings_go_on_from_memory(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None], error: sqlite3.Error
) -> None:
    disk_fails(error)
    first, second = bench.run(new(1), new(2))
    assert [r.stored.sequence for r in second.stored] == [2]
    assert (first.problem, second.unsaved) == (str(error), 2)


def test_what_waits_in_memory_can_be_fetched_and_acked(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None]
) -> None:
    bench.run(new(1))
    disk_fails(FULL)
    *_, fetched, acked = bench.run(new(2), new(3), fetch(1, 3), removed(2, 2))
    assert found(fetched) == [1, 2, 3], "from disk and memory together"
    assert acked.unsaved == 1


def test_when_the_disk_takes_them_again_they_are_written_and_acks_are_not_forgotten(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None]
) -> None:
    bench.run(new(1), new(2))
    disk_fails(FULL)
    bench.run(new(3), new(4), removed(1, 1), removed(3, 3))
    disk_fails(None)
    (outcome,) = bench.run(new(5))
    assert bench.on_disk() == [2, 4, 5]
    assert (outcome.problem, outcome.unsaved) == ("", 0)


def test_a_clock_that_is_set_while_the_disk_fails_ages_nothing(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is opened anew then, but the process has been there all the time."""
    clock = Clock()
    monkeypatch.setattr(outbox_writer, "Moment", clock)
    bench.run(new(1))
    clock.ran_s += 0.6 * ROOMY.max_age_s
    bench.run(new(2))
    disk_fails(sqlite3.OperationalError("disk I/O error"))
    clock.set_by_s += 2 * ROOMY.max_age_s
    bench.run(new(3))
    disk_fails(None)
    (outcome,) = bench.run(new(4))
    assert (outcome.problem, outcome.lost) == ("", {})
    assert bench.on_disk() == [1, 2, 3, 4]


def test_memory_is_bounded_and_what_falls_out_is_declared(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_writer, "MAX_UNSAVED_READINGS", 3)
    disk_fails(FULL)
    outcomes = bench.run(*(new(i) for i in range(1, 6)))
    lost = [loss for outcome in outcomes for loss in outcome.lost.get(VEHICLE, [])]
    assert lost == [Lost(7, SequenceRange(1, 1), "MEMORY_FULL"), Lost(7, SequenceRange(2, 2), "MEMORY_FULL")]


def test_what_fell_out_of_memory_is_on_disk_as_lost_once_it_takes_anything(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_writer, "MAX_UNSAVED_READINGS", 2)
    disk_fails(FULL)
    bench.run(*(new(i) for i in range(1, 5)))
    disk_fails(None)
    bench.run(new(5))
    assert bench.lost_on_disk() == [(1, 2, "MEMORY_FULL")]
    assert bench.on_disk() == [3, 4, 5]


def test_a_loss_that_others_declare_is_on_disk_until_it_is_acked(bench: Bench) -> None:
    bench.run(Lose(VEHICLE, (Lost(7, SequenceRange(4, 6), "NOT_ON_DISK"),)))
    assert bench.lost_on_disk() == [(4, 6, "NOT_ON_DISK")]
    bench.run(removed(4, 6), new(7))
    assert bench.lost_on_disk() == []


def test_each_refusal_is_counted(bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None]) -> None:
    assert bench.writer.failures == 0
    disk_fails(FULL)
    bench.run(new(1), new(2))
    assert bench.writer.failures == 2


def test_on_a_full_disk_the_connection_stays_and_history_is_read(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None]
) -> None:
    bench.run(new(1))
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    disk_fails(full)
    before = bench.writer._outbox
    _, fetched = bench.run(new(2), fetch(1, 2))
    assert found(fetched) == [1, 2]
    assert bench.writer._outbox is before
    assert fetched.rows == 1


def test_what_finds_the_queue_full_is_written_down_with_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_writer, "OUTBOX_QUEUE", 1)
    bench = Bench(tmp_path / "outbox.sqlite")
    bench.run(new(1), new(2))
    with bench.hung():
        assert bench.writer.put(new(4)), "it waits in the queue"
        assert not any(bench.writer.put(new(i)) for i in (5, 6))
        assert not bench.writer.put(fetch(1, 2))
        assert not bench.writer.put(removed(1, 1))
    bench.told.get(timeout=WAIT_S)
    bench.told.get(timeout=WAIT_S)
    assert bench.on_disk() == [2, 3, 4]
    assert bench.lost_on_disk() == [(5, 6, "OUTBOX_BUSY")]
    bench.writer.close(WAIT_S)


def test_a_file_that_gets_damaged_makes_way_for_a_new_one(
    bench: Bench, disk_fails: Callable[[sqlite3.Error | None], None]
) -> None:
    bench.run(new(1))
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    disk_fails(damaged)
    bench.run(new(2))
    disk_fails(None)
    bench.run(new(3))
    assert bench.on_disk() == [2, 3]
    assert bench.path.with_name("outbox.sqlite.damaged").exists()


def test_a_disk_that_can_not_even_be_opened_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").mkdir()
    bench = Bench(tmp_path / "outbox.sqlite")
    outcome, more_than_memory_has, fetched = bench.run(new(1), fetch(1, 2), fetch(1, 1))
    assert outcome.problem
    assert [r.stored.sequence for r in outcome.stored] == [1]
    assert found(more_than_memory_has) is None, "the disk can't say what it has, so nothing is lost yet"
    assert found(fetched) == [1]
    bench.writer.close(WAIT_S)


def test_a_plant_folder_that_takes_no_line_keeps_no_reading_back(tmp_path: Path) -> None:
    (tmp_path / "plant").write_text("a file in the way")
    bench = Bench(tmp_path / "outbox.sqlite", tmp_path / "plant")
    (outcome,) = bench.run(new(1))
    assert [r.stored.sequence for r in outcome.stored] == [1]
    bench.writer.close(WAIT_S)

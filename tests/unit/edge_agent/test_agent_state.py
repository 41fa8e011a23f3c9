"""What is remembered over a restart: epoch, status, answers."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from edge_agent.orders import EXECUTED, INTERRUPTED
from edge_agent.state import Remembered, SaveAnswer, SaveState, StateStore
from edge_agent.state_keeper import Again, Begin, StateKeeper
from pitwall.domain.order import REQUEST_MEMORY_S
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.edge_agent.builders import OTHER, T0, VEHICLE

NOW_S = 1_800_000_000.0
WAIT_S = 5.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def boot(path: Path, wall_s: float = NOW_S, vehicle_id: str = VEHICLE) -> Remembered:
    store = StateStore(path)
    try:
        found = store.remembered([vehicle_id], T0, wall_s)
        store.began(found)
        return found[vehicle_id]
    finally:
        store.close()


def save(path: Path, *changes: SaveState | SaveAnswer, wall_s: float = NOW_S) -> None:
    store = StateStore(path)
    store.apply(changes, wall_s)
    store.close()


def test_a_new_disk_does_not_begin_at_1(path: Path) -> None:
    assert boot(path).boot_epoch == round(NOW_S * 1000)


@pytest.mark.parametrize("clock_s", [0.0, -3600.0, 0.0001], ids=["the same moment", "an hour back", "a moment later"])
def test_every_start_has_a_higher_epoch_whatever_the_clock_says(path: Path, clock_s: float) -> None:
    first = boot(path).boot_epoch
    assert boot(path, NOW_S + clock_s).boot_epoch == first + 1


def test_milliseconds_win_once_they_are_ahead(path: Path) -> None:
    boot(path)
    assert boot(path, NOW_S + 60).boot_epoch == round((NOW_S + 60) * 1000)


def test_a_vehicle_in_maintenance_is_still_there_after_a_restart(path: Path) -> None:
    assert boot(path).status is VehicleStatus.IDLE
    save(path, SaveState(VEHICLE, VehicleStatus.MAINTENANCE, autonomous=False))
    again = boot(path)
    assert (again.status, again.autonomous, again.seen_before) == (VehicleStatus.MAINTENANCE, False, True)


def test_a_vehicle_is_seen_before_from_its_second_start_on(path: Path) -> None:
    assert not boot(path).seen_before
    assert boot(path).seen_before
    assert not boot(path, vehicle_id=OTHER).seen_before


@pytest.mark.parametrize("content", [b"x" * 4096, b"SQLite format 3\x00" + b"\xff" * 4080])
def test_a_status_that_is_lost_is_maintenance_and_the_vehicle_counts_as_seen(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    booted = boot(path)
    assert (booted.status, booted.seen_before) == (VehicleStatus.MAINTENANCE, True)
    assert path.with_name("state.sqlite.damaged").exists()


def test_an_order_that_was_begun_and_not_answered_is_interrupted(path: Path) -> None:
    boot(path)
    save(path, SaveAnswer.begun(VEHICLE, "q1", NOW_S))
    assert boot(path).answers.recall("q1") == INTERRUPTED


def test_the_final_answer_takes_the_place_of_the_record(path: Path) -> None:
    boot(path)
    save(path, SaveAnswer.begun(VEHICLE, "q1", NOW_S), SaveAnswer(VEHICLE, "q1", EXECUTED, NOW_S))
    assert boot(path).answers.recall("q1") == EXECUTED
    assert boot(path, vehicle_id=OTHER).answers.recall("q1") is None


@pytest.mark.parametrize(("age_s", "known"), [(REQUEST_MEMORY_S - 1, True), (REQUEST_MEMORY_S + 1, False)])
def test_answers_are_kept_for_a_day(path: Path, age_s: float, *, known: bool) -> None:
    boot(path)
    save(path, SaveAnswer(VEHICLE, "q1", EXECUTED, NOW_S))
    save(path, SaveState(VEHICLE, VehicleStatus.IDLE, autonomous=True), wall_s=NOW_S + age_s)
    assert (boot(path, NOW_S + age_s).answers.recall("q1") is not None) == known


def test_a_disk_that_takes_nothing_is_no_reason_not_to_start(path: Path) -> None:
    boot(path)
    store = StateStore(path)
    store._connection.execute("PRAGMA query_only = ON")
    found = store.remembered([VEHICLE], T0, NOW_S + 60)
    store.began(found)
    store.close()
    booted = found[VEHICLE]
    assert booted.boot_epoch == round((NOW_S + 60) * 1000)
    assert booted.seen_before


def test_answers_have_their_age_after_a_restart(path: Path) -> None:
    boot(path)
    save(path, SaveAnswer(VEHICLE, "q1", EXECUTED, NOW_S - 100))
    ((_, at_s, _),) = boot(path).answers.items()
    assert at_s == pytest.approx(T0 - 100)


def test_a_new_vehicle_is_autonomous(path: Path) -> None:
    assert boot(path).autonomous


def test_damage_in_the_middle_of_the_file_is_found_at_the_start(path: Path) -> None:
    boot(path)
    save(path, *(SaveAnswer(VEHICLE, f"q{n}", EXECUTED, NOW_S) for n in range(2_000)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = b"\xee" * 4096
    path.write_bytes(content)
    assert boot(path).status is VehicleStatus.MAINTENANCE


def test_a_transaction_that_failed_leaves_nothing_behind(path: Path) -> None:
    boot(path)
    store = StateStore(path)
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        store.apply([SaveAnswer(VEHICLE, "q1", EXECUTED, NOW_S)], NOW_S)
    store._connection.execute("PRAGMA query_only = OFF")
    store.apply([SaveAnswer(VEHICLE, "q2", EXECUTED, NOW_S)], NOW_S)
    store.close()
    answers = boot(path).answers
    assert (answers.recall("q1"), answers.recall("q2")) == (None, EXECUTED)


# The thread


class FakeStore(StateStore):
    """A disk that can be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = False

    def apply(self, changes: object, wall_s: float) -> None:
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().apply(changes, wall_s)  # type: ignore[arg-type]


class Bench:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = FakeStore(path)
        self.store.began(self.store.remembered([VEHICLE], T0, NOW_S))
        self.recorded: Queue[tuple[str, str, bool]] = Queue()
        self.keeper = StateKeeper(self.store, lambda *said: self.recorded.put(said))

    def begin(self, request_id: str) -> bool:
        self.keeper.put(Begin(SaveAnswer.begun(VEHICLE, request_id, NOW_S)))
        said = self.recorded.get(timeout=WAIT_S)
        assert said[:2] == (VEHICLE, request_id)
        return said[2]


@pytest.fixture
def bench(path: Path) -> Iterator[Bench]:
    made = Bench(path)
    yield made
    made.keeper.close(WAIT_S)


def test_an_order_is_on_disk_when_the_keeper_says_so(bench: Bench, path: Path) -> None:
    assert bench.begin("q1")
    assert boot(path).answers.recall("q1") == INTERRUPTED


def test_on_a_full_disk_the_keeper_says_no(bench: Bench) -> None:
    bench.store.full = True
    assert not bench.begin("q1")
    assert "full" in bench.keeper.problem


def test_a_status_that_the_disk_refused_is_written_when_it_takes_it(bench: Bench, path: Path) -> None:
    bench.store.full = True
    bench.keeper.put(SaveState(VEHICLE, VehicleStatus.MAINTENANCE, autonomous=True))
    assert not bench.begin("q1")
    bench.store.full = False
    bench.keeper.put(Again())
    bench.keeper.close(WAIT_S)
    assert boot(path).status is VehicleStatus.MAINTENANCE

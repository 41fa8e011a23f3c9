"""What is remembered over a restart: epoch, status, answers."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
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


def boot(
    path: Path, wall_s: float = NOW_S, vehicle_id: str = VEHICLE, in_outbox: int = 0, *, refused: bool = False
) -> Remembered:
    with closing(StateStore(path)) as store:
        return begun(store, wall_s, vehicle_id, in_outbox, refused=refused)


def begun(
    store: StateStore, wall_s: float = NOW_S, vehicle_id: str = VEHICLE, in_outbox: int = 0, *, refused: bool = False
) -> Remembered:
    """`refused`: the disk takes nothing at this start."""
    if refused:
        store._connection.execute("PRAGMA query_only = ON")
    found = store.remembered([vehicle_id], {vehicle_id: in_outbox} if in_outbox else {}, T0, wall_s)
    used = store.began(found, wall_s)[vehicle_id]
    store._connection.execute("PRAGMA query_only = OFF")
    return used


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


@pytest.mark.parametrize("clock_s", [0.0, -3600.0, 3600.0])
@pytest.mark.parametrize("content", [None, b"x" * 4096], ids=["gone", "damaged"])
def test_where_the_last_epoch_is_lost_the_next_is_beyond_those_in_the_outbox(
    path: Path, clock_s: float, content: bytes | None
) -> None:
    first = boot(path).boot_epoch
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    expected = max(first + 1, round((NOW_S + clock_s) * 1000))
    assert boot(path, NOW_S + clock_s, in_outbox=first).boot_epoch == expected


def test_what_an_outbox_has_of_another_vehicle_is_no_epoch_of_this_one(path: Path) -> None:
    with closing(StateStore(path)) as store:
        found = store.remembered([VEHICLE], {OTHER: 2 * round(NOW_S * 1000)}, T0, NOW_S)
    assert found[VEHICLE].boot_epoch == round(NOW_S * 1000)


@pytest.mark.parametrize("later_s", [0.002, 60.0, 86_400.0])
def test_starts_that_the_disk_did_not_count_have_epochs_of_their_own_in_order(path: Path, later_s: float) -> None:
    """An earlier boot ran a year ahead, so the time of day can't tell one start from the next."""
    ahead = boot(path, NOW_S + 365 * 86_400).boot_epoch
    first = boot(path, NOW_S, refused=True).boot_epoch
    second = boot(path, NOW_S + later_s, refused=True).boot_epoch
    assert ahead < first < second


def test_a_start_that_the_disk_did_not_count_is_counted_as_soon_as_it_takes_anything(path: Path) -> None:
    ahead = boot(path, NOW_S + 365 * 86_400).boot_epoch
    with closing(StateStore(path)) as store:
        used = begun(store, refused=True).boot_epoch
        assert "readonly" in store.problem
        store.apply([SaveState(VEHICLE, VehicleStatus.MAINTENANCE, autonomous=True)], NOW_S)
        store.apply([SaveAnswer(VEHICLE, "q1", EXECUTED, NOW_S)], NOW_S)
    again = boot(path)
    assert again.boot_epoch == used + 1 > ahead + 1
    assert again.status is VehicleStatus.MAINTENANCE, "counted once: what came after is not put back"


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
    booted = boot(path, NOW_S + 60, refused=True)
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
    def __init__(self, path: Path, *, refused: bool = False) -> None:
        self.path = path
        self.store = FakeStore(path)
        begun(self.store, refused=refused)
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


def test_a_start_that_was_not_counted_is_a_problem_until_it_is(path: Path) -> None:
    bench = Bench(path, refused=True)
    assert "readonly" in bench.keeper.problem
    bench.keeper.put(Again())
    bench.keeper.close(WAIT_S)
    assert not bench.keeper.problem
    assert boot(path).boot_epoch == round(NOW_S * 1000) + 1

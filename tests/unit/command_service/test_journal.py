"""The journal: on disk when it says so, nobody held up by a disk that hangs, refuses or is slow."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from command_service.events import Record, StageReached, StopIssued
from command_service.journal import HUNG_AFTER_S, Journal, JournalFull
from command_service.progress import Stage
from command_service.records import record_from
from command_service.store import JournalProblem, Reader, Store
from pitwall.clock import boottime_s
from tests.unit.command_service.samples import NS, stop

NAME = "c1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    journal = Journal(Store.open(path, NAME, first_start=True))
    yield journal
    await journal.close(5)


def stopped(number: int) -> Record:
    return Record(NS + number, "somebody", StopIssued(stop(f"s{number}")))


def staged(number: int) -> Record:
    return Record(NS + number, "A", StageReached(f"s{number}", Stage.SENT, NS), "A")


def on_disk(path: Path) -> list[Record | None]:
    """What another process would find."""
    store = Store.open(path, NAME, first_start=False)
    try:
        return [record_from(message) for message in store.replay()]
    finally:
        store.close()


class Disk:
    """Stands between the journal and SQLite."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.open.set()
        #: A write has come while it was not open.
        self.held = threading.Event()
        self.error: Exception | None = None
        self.commits: list[list[Record]] = []
        commit = Store.commit

        def slow(store: Store, records: list[Record], *others: Any, **named: Any) -> None:
            if not self.open.is_set():
                self.held.set()
                self.open.wait()
            if self.error is not None:
                raise self.error
            commit(store, records, *others, **named)
            self.commits.append(list(records))

        monkeypatch.setattr(Store, "commit", slow)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def until(holds: Callable[[], object]) -> None:
    deadline_s = boottime_s() + 5
    while not holds():
        assert boottime_s() < deadline_s
        await asyncio.sleep(0.005)  # the writer is a thread of its own and tells nobody


async def test_a_record_is_on_disk_when_its_future_is_done(journal: Journal, path: Path) -> None:
    await journal.append(stopped(1))
    assert len(Reader(path).read(0, 10)) == 1
    assert journal.sequence == 1
    await journal.close(5)
    assert on_disk(path) == [stopped(1)]


async def test_notes_follow_without_being_awaited(journal: Journal, path: Path) -> None:
    journal.note(staged(1))
    await until(lambda: journal.sequence == 1)


async def test_closing_writes_what_waits(journal: Journal, path: Path) -> None:
    future = journal.append(stopped(1))
    for number in range(250):
        journal.note(staged(number))
    assert await journal.close(5)
    assert future.done()
    assert len(on_disk(path)) == 251


async def test_what_is_awaited_goes_ahead_of_what_is_not(disk: Disk, journal: Journal) -> None:
    disk.open.clear()
    await asyncio.sleep(0)
    for number in range(250):
        journal.note(staged(number))
    future = journal.append(stopped(1))
    disk.open.set()
    await future
    written = [record for commit in disk.commits for record in commit]
    assert written.index(stopped(1)) <= 100


async def test_a_hung_disk_holds_nobody_up_and_is_not_healthy(
    disk: Disk, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.open.clear()
    asked_s = boottime_s()
    future = journal.append(stopped(1))
    assert boottime_s() - asked_s < 0.05
    assert journal.healthy(boottime_s())
    assert not journal.healthy(boottime_s() + HUNG_AFTER_S + 0.1)
    assert not future.done()
    disk.open.set()
    await future
    assert journal.healthy(boottime_s())


async def test_an_idle_journal_shows_that_it_could_write(disk: Disk, journal: Journal) -> None:
    await until(lambda: [] in disk.commits)


async def test_a_full_disk_is_tried_again_until_it_takes_the_same_records(
    disk: Disk, journal: Journal, path: Path
) -> None:
    disk.error = sqlite3.OperationalError("database or disk is full")
    future = journal.append(stopped(1))
    await until(lambda: journal.trouble)
    assert not journal.healthy(boottime_s())
    assert not future.done()
    disk.error = None
    await future
    assert journal.healthy(boottime_s())
    await journal.close(5)
    assert on_disk(path) == [stopped(1)]


async def test_a_real_failure_of_the_database_leaves_no_gap(journal: Journal, path: Path) -> None:
    """Another process has the database locked for a while, longer than SQLite waits."""
    journal._store._connection.execute("PRAGMA busy_timeout = 0")
    await journal.append(stopped(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        future = journal.append(stopped(2))
        await until(lambda: journal.trouble)
        assert not future.done()
        other.execute("ROLLBACK")
    await future
    await journal.close(5)
    assert on_disk(path) == [stopped(1), stopped(2)]


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Store.commit
    lost = [sqlite3.OperationalError("disk I/O error")]

    def losing(store: Store, *arguments: Any, **named: Any) -> None:
        commit(store, *arguments, **named)
        if arguments[0] and lost:
            raise lost.pop()

    monkeypatch.setattr(Store, "commit", losing)
    await journal.append(stopped(1))
    await journal.close(5)
    assert on_disk(path) == [stopped(1)]


async def test_room_is_bounded(disk: Disk, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.journal.MAX_URGENT", 1)
    monkeypatch.setattr("command_service.journal.MAX_NOTES", 2)
    disk.open.clear()
    assert await asyncio.to_thread(disk.held.wait, 5), "the probe hangs now"
    future = journal.append(stopped(1))
    with pytest.raises(JournalFull):
        journal.append(stopped(2))
    for number in range(5):
        journal.note(staged(number))
    assert (journal.waiting, journal.dropped) == (3, 3)
    disk.open.set()
    await future


async def test_a_disk_that_never_answers_does_not_keep_the_process(disk: Disk, path: Path) -> None:
    journal = Journal(Store.open(path, NAME, first_start=True))
    disk.open.clear()
    journal.append(stopped(1))
    assert not await journal.close(0.1)
    disk.open.set()


async def test_a_defect_in_the_writer_ends_it_in_the_open(disk: Disk, journal: Journal) -> None:
    disk.error = RuntimeError("a defect")
    journal.append(stopped(1))
    await asyncio.wait_for(journal.died, 5)
    assert "a defect" in journal.trouble
    assert not journal.healthy(boottime_s())


async def test_vehicles_and_the_export_are_remembered(journal: Journal, path: Path) -> None:
    journal.remember("A", b"old", 1)
    journal.remember("A", b"new", 2)
    journal.exported(7)
    await journal.close(5)
    store = Store.open(path, NAME, first_start=False)
    assert list(store.vehicles()) == [("A", b"new", 2)]
    assert store.exported == 7
    store.close()


# The file


def test_it_reads_from_a_place_and_a_time_on(path: Path) -> None:
    store = Store.open(path, NAME, first_start=True)
    store.commit([staged(number) for number in range(10)], {}, None)
    reader = Reader(path)
    assert len(reader.read(0, 100)) == 10
    assert len(reader.read(7, 100)) == 3
    assert len(reader.read(0, 4)) == 4
    assert len(reader.read(0, 100, NS + 8)) == 2
    store.close()


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_a_record_that_was_taken_out_shows_also_at_the_end(path: Path, sequence: int) -> None:
    store = Store.open(path, NAME, first_start=True)
    store.commit([staged(number) for number in range(3)], {}, None)
    store.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM journal WHERE sequence = ?", (sequence,))
    with pytest.raises(JournalProblem, match=r"record \d"):
        on_disk(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("PRAGMA application_id = 1", "no journal"),
        ("PRAGMA user_version = 9", "version 9"),
        ("UPDATE meta SET value = 'c2' WHERE key = 'command_service'", "is the journal of 'c2'"),
    ],
)
def test_what_is_not_its_own_journal_is_refused(path: Path, change: str, words: str) -> None:
    Store.open(path, NAME, first_start=True).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(change)
    with pytest.raises(JournalProblem, match=words):
        Store.open(path, NAME, first_start=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalProblem, match="writable"):
        Store.open(tmp_path / "file" / "journal.sqlite", NAME, first_start=True)


def test_what_is_no_database_is_refused_and_the_lock_let_go(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be one" * 100)
    for _ in range(2):
        with pytest.raises(JournalProblem, match="Restore it from a copy"):
            Store.open(path, NAME, first_start=True)


@pytest.mark.parametrize(
    ("has_peers", "advice"), [(False, "Restore it from a copy"), (True, "Move it away and put no copy in its place")]
)
@pytest.mark.parametrize("damage", ["no database", "a record taken out"])
def test_what_to_do_about_a_damaged_journal_depends_on_who_else_knows(
    path: Path, damage: str, has_peers: bool, advice: str
) -> None:
    """A copy is older than what was confirmed since. Where there are peers they know it, and the copy would hide it."""
    store = Store.open(path, NAME, first_start=True, has_peers=has_peers)
    store.commit([staged(number) for number in range(3)], {}, None)
    store.close()
    if damage == "no database":
        path.write_bytes(b"no database at all, but long enough to be one" * 100)
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM journal WHERE sequence = 2")
    with pytest.raises(JournalProblem, match=advice):
        list(Store.open(path, NAME, first_start=False, has_peers=has_peers).replay())


# Whether all that was ever confirmed is in it


def opened(path: Path, *, first_start: bool, has_peers: bool = True) -> bool:
    """Whether it is complete."""
    store = Store.open(path, NAME, first_start=first_start, has_peers=has_peers)
    try:
        return store.complete
    finally:
        store.close()


def lose(path: Path, *, mark: bool = False) -> None:
    for part in path.parent.glob(path.name + "*"):
        if mark or not part.name.endswith(".started"):
            part.unlink()


@pytest.mark.parametrize("has_peers", [False, True])
def test_it_is_complete_from_the_first_start_on(path: Path, has_peers: bool) -> None:
    for first_start in (True, False, True):
        assert opened(path, first_start=first_start, has_peers=has_peers)


@pytest.mark.parametrize("first_start", [False, True], ids=["", "with first_start left in the settings"])
@pytest.mark.parametrize("how", ["gone", "cut off to nothing"])
def test_one_that_was_there_is_made_anew_for_a_site_with_peers_and_is_not_complete(
    path: Path, how: str, first_start: bool
) -> None:
    opened(path, first_start=True)
    lose(path)
    if how == "cut off to nothing":
        path.touch()
    assert not opened(path, first_start=first_start)
    assert not opened(path, first_start=first_start), "a restart hides nothing"


def test_neither_is_one_that_was_lost_with_everything_around_it(path: Path) -> None:
    """But for a first start nobody can tell it from one that never was."""
    opened(path, first_start=True)
    lose(path, mark=True)
    assert not opened(path, first_start=False)


@pytest.mark.parametrize("first_start", [False, True])
def test_without_peers_it_is_not_made_anew(path: Path, first_start: bool) -> None:
    opened(path, first_start=True, has_peers=False)
    lose(path)
    with pytest.raises(JournalProblem, match="is gone"):
        opened(path, first_start=first_start, has_peers=False)


async def test_that_all_is_known_again_survives(path: Path, disk: Disk) -> None:
    journal = Journal(Store.open(path, NAME, first_start=False, has_peers=True))
    disk.error = sqlite3.OperationalError("database or disk is full")
    journal.complete()
    await until(lambda: journal.trouble)
    disk.error = None
    await journal.append(stopped(1))
    await journal.close(5)
    assert opened(path, first_start=False)


async def test_it_is_written_where_nothing_else_is(path: Path) -> None:
    journal = Journal(Store.open(path, NAME, first_start=False, has_peers=True))
    journal.complete()
    assert await journal.close(5)
    assert opened(path, first_start=False)


def test_a_journal_from_before_there_were_peers_is_complete(path: Path) -> None:
    """It was made by a first start: there was no other way."""
    opened(path, first_start=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM meta WHERE key = 'complete'")
    assert opened(path, first_start=False)

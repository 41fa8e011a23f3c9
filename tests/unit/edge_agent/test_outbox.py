"""Readings on disk: there until acknowledged, bounded, and what is given up is said."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.moment import Moment
from edge_agent.outbox import LAYOUT, ROW_OVERHEAD_BYTES, Bounds, NewReading, Outbox
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from pitwall.domain.sequence import SequenceRange
from tests.unit.edge_agent.builders import OTHER, VEHICLE

DAY_S = 86_400.0
NOW_S = 1_800_000_000.0
SIZE = 100
CHECKSUM = 4
ROW = SIZE + CHECKSUM + ROW_OVERHEAD_BYTES
ROOMY = Bounds(10**9, 7 * DAY_S)


def at(now_s: float) -> Moment:
    """Both clocks say the same here; test_outbox_age has them part."""
    return Moment(now_s, datetime.fromtimestamp(now_s, UTC))


def new(sequence: int, vehicle_id: str = VEHICLE, epoch: int = 7, at_s: float = NOW_S) -> NewReading:
    return NewReading(vehicle_id, Stored(epoch, sequence, bytes(SIZE)), at_s)


def spans(*pairs: tuple[int, int]) -> list[SequenceRange]:
    return [SequenceRange(first, last) for first, last in pairs]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    made = Outbox(path, ROOMY, at(NOW_S))
    yield made
    made.close()


def add(outbox: Outbox, *readings: NewReading) -> None:
    outbox.begin()
    outbox.add(readings)
    outbox.commit()


def remove(outbox: Outbox, *pairs: tuple[int, int], epoch: int = 7) -> None:
    outbox.begin()
    outbox.remove(VEHICLE, epoch, spans(*pairs))
    outbox.commit()


def lose(outbox: Outbox, *losses: Lost) -> None:
    outbox.begin()
    outbox.lose({VEHICLE: losses}, NOW_S)
    outbox.commit()


def evict(outbox: Outbox, now_s: float = NOW_S) -> dict[str, list[Lost]]:
    outbox.begin()
    lost = outbox.evict(at(now_s))
    outbox.commit()
    return lost


def test_what_is_committed_is_there_after_a_restart(path: Path) -> None:
    first = Outbox(path, ROOMY, at(NOW_S))
    add(first, new(1), new(2), new(1, OTHER))
    first.abandon()  # no checkpoint, no goodbye
    again = Outbox(path, ROOMY, at(NOW_S))
    assert again.pending(VEHICLE) == [(7, SequenceRange(1, 2))]
    assert (again.rows, again.bytes) == (3, 3 * ROW)
    again.close()


def test_what_was_not_committed_is_not(path: Path) -> None:
    first = Outbox(path, ROOMY, at(NOW_S))
    first.begin()
    first.add([new(1)])
    first.abandon()
    again = Outbox(path, ROOMY, at(NOW_S))
    assert again.pending(VEHICLE) == []
    again.close()


def test_acked_ranges_go_and_leave_holes(outbox: Outbox) -> None:
    add(outbox, *(new(i) for i in range(1, 11)), new(3, epoch=8))
    remove(outbox, (2, 4), (9, 20))
    assert outbox.pending(VEHICLE) == [
        (7, SequenceRange(1, 1)),
        (7, SequenceRange(5, 8)),
        (8, SequenceRange(3, 3)),
    ]
    assert (outbox.rows, outbox.bytes) == (6, 6 * ROW)


def test_an_ack_of_everything_to_the_end_of_time_is_taken(outbox: Outbox) -> None:
    add(outbox, new(1))
    remove(outbox, (1, 2**64 - 1))
    remove(outbox, (1, 2**64 - 1), epoch=2**64 - 1)
    assert outbox.rows == 0


def test_a_reading_that_is_there_already_is_not_counted_twice(outbox: Outbox) -> None:
    add(outbox, new(1), new(1))
    add(outbox, new(1))
    assert (outbox.rows, outbox.bytes) == (1, ROW)


def test_history_comes_in_order_and_only_as_far_as_it_is_there(outbox: Outbox) -> None:
    add(outbox, new(3), new(1), new(2, OTHER), new(5))
    assert [s.sequence for s in outbox.fetch(VEHICLE, Wanted(7, 1, 4))] == [1, 3]
    assert outbox.fetch("NOBODY-1", Wanted(7, 1, 4)) == []


# Bounds


@pytest.mark.parametrize(("room", "lost"), [(10, 0), (9, 1), (3, 7), (0, 10)])
def test_too_many_bytes_cost_the_oldest_whoevers_they_are(path: Path, room: int, lost: int) -> None:
    outbox = Outbox(path, Bounds(room * ROW, 7 * DAY_S), at(NOW_S))
    add(outbox, *(new(i // 2 + 1, (VEHICLE, OTHER)[i % 2]) for i in range(10)))
    given_up = evict(outbox)
    assert sum(len(loss.range) for losses in given_up.values() for loss in losses) == lost
    assert {loss.reason for losses in given_up.values() for loss in losses} <= {"OUTBOX_FULL"}
    assert (outbox.rows, outbox.bytes) == (10 - lost, (10 - lost) * ROW)
    if lost == 7:
        assert given_up == {
            VEHICLE: [Lost(7, SequenceRange(1, 4), "OUTBOX_FULL")],
            OTHER: [Lost(7, SequenceRange(1, 3), "OUTBOX_FULL")],
        }
    outbox.close()


@pytest.mark.parametrize(("age_s", "lost"), [(7 * DAY_S, 0), (7 * DAY_S + 1, 1)])
def test_what_is_too_old_goes(outbox: Outbox, age_s: float, lost: int) -> None:
    add(outbox, new(1, at_s=NOW_S - age_s), new(2))
    given_up = evict(outbox)
    assert outbox.rows == 2 - lost
    assert given_up == ({VEHICLE: [Lost(7, SequenceRange(1, 1), "TOO_OLD")]} if lost else {})


def test_more_than_one_run_of_evictions_is_taken_at_once(path: Path) -> None:
    outbox = Outbox(path, Bounds(10 * ROW, 7 * DAY_S), at(NOW_S))
    add(outbox, *(new(i) for i in range(1, 1301)))
    evict(outbox)
    assert outbox.pending(VEHICLE) == [(7, SequenceRange(1291, 1300))]
    outbox.close()


def test_what_was_lost_is_known_after_a_restart_until_it_is_acked(path: Path) -> None:
    outbox = Outbox(path, Bounds(0, 7 * DAY_S), at(NOW_S))
    add(outbox, new(1), new(2))
    evict(outbox)
    outbox.close()
    again = Outbox(path, ROOMY, at(NOW_S))
    assert again.lost(VEHICLE) == [Lost(7, SequenceRange(1, 2), "OUTBOX_FULL")]
    remove(again, (1, 1))
    assert again.lost(VEHICLE) == [Lost(7, SequenceRange(2, 2), "OUTBOX_FULL")]
    remove(again, (1, 2))
    assert again.lost(VEHICLE) == []
    again.close()


def test_an_ack_within_a_loss_leaves_both_its_ends(outbox: Outbox) -> None:
    lose(outbox, Lost(7, SequenceRange(1, 9), "OUTBOX_BUSY"))
    remove(outbox, (4, 6))
    assert [loss.range for loss in outbox.lost(VEHICLE)] == spans((1, 3), (7, 9))


def test_an_outbox_that_stays_full_takes_one_row_for_what_it_gives_up(path: Path) -> None:
    outbox = Outbox(path, Bounds(3 * ROW, 7 * DAY_S), at(NOW_S))
    for sequence in range(1, 101):
        outbox.begin()
        outbox.add([new(sequence), new(sequence, OTHER)])
        outbox.evict(at(NOW_S))
        outbox.commit()
    assert outbox._connection.execute("SELECT COUNT(*) FROM lost").fetchone() == (2,)
    assert outbox.lost(VEHICLE) == [Lost(7, SequenceRange(1, 99), "OUTBOX_FULL")]
    outbox.close()


def test_what_somebody_else_gives_up_goes_from_the_disk_and_is_written_down(outbox: Outbox) -> None:
    add(outbox, *(new(i) for i in range(1, 6)))
    lose(outbox, Lost(7, SequenceRange(2, 3), "NOT_ON_DISK"))
    assert outbox.pending(VEHICLE) == [(7, r) for r in spans((1, 1), (4, 5))]
    assert outbox.lost(VEHICLE) == [Lost(7, SequenceRange(2, 3), "NOT_ON_DISK")]
    assert (outbox.rows, outbox.bytes) == (3, 3 * ROW)


def test_a_boot_of_which_nothing_is_left_is_forgotten(outbox: Outbox) -> None:
    add(outbox, new(1, epoch=5), new(1, epoch=6))
    lose(outbox, Lost(5, SequenceRange(1, 1), "TOO_OLD"))
    remove(outbox, (1, 1), epoch=6)
    add(outbox, new(1, epoch=7))
    epochs = outbox._connection.execute("SELECT boot_epoch FROM stream ORDER BY boot_epoch").fetchall()
    assert epochs == [(5,), (7,)]
    add(outbox, new(2, epoch=6))
    assert outbox.pending(VEHICLE) == [(6, SequenceRange(2, 2)), (7, SequenceRange(1, 1))]


def test_a_loss_too_is_forgotten_with_age(path: Path) -> None:
    outbox = Outbox(path, Bounds(0, 7 * DAY_S), at(NOW_S))
    add(outbox, new(1))
    evict(outbox)
    evict(outbox, NOW_S + 7 * DAY_S + 1)
    assert outbox.lost(VEHICLE) == []
    outbox.close()


@pytest.mark.parametrize("column", ["packed = zeroblob(LENGTH(packed))", "packed = 'text'", "sequence = 9"])
def test_a_reading_whose_bits_have_turned_is_not_there(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    """SQLite notices nothing of it; the checksum does."""
    add(outbox, new(1), new(2), new(3))
    outbox._connection.execute(f"UPDATE reading SET {column} WHERE sequence = 2")
    assert [s.sequence for s in outbox.fetch(VEHICLE, Wanted(7, 1, 9))] == [1, 3]
    assert "1 readings on disk are damaged" in caplog.text


def test_a_file_of_another_layout_is_set_aside_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE reading (id INTEGER PRIMARY KEY, content BLOB)")
    outbox = Outbox(path, ROOMY, at(NOW_S))
    add(outbox, new(1))
    outbox.close()
    assert f"this program writes number {LAYOUT}" in caplog.text
    assert path.with_name("outbox.sqlite.damaged").exists()
    again = Outbox(path, ROOMY, at(NOW_S))
    assert again.rows == 1
    again.close()


def test_after_a_rollback_it_goes_on_as_if_nothing_had_been(outbox: Outbox) -> None:
    add(outbox, new(1))
    outbox.begin()
    outbox.add([new(2), new(1, epoch=8)])
    outbox.remove(VEHICLE, 7, spans((1, 1)))
    assert outbox.rollback()
    assert (outbox.rows, outbox.bytes) == (1, ROW)
    add(outbox, new(2, epoch=8))
    assert outbox.pending(VEHICLE) == [(7, SequenceRange(1, 1)), (8, SequenceRange(2, 2))]


def test_a_full_disk_is_an_error_and_changes_nothing(outbox: Outbox, path: Path) -> None:
    add(outbox, new(1))
    outbox._connection.execute("PRAGMA max_page_count = 12")
    outbox.begin()
    with pytest.raises(sqlite3.OperationalError, match="full"):
        outbox.add(new(i) for i in range(2, 2000))
    outbox.abandon()
    again = Outbox(path, ROOMY, at(NOW_S))
    assert again.pending(VEHICLE) == [(7, SequenceRange(1, 1))]
    again.close()


def test_a_file_that_is_no_database_is_set_aside(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be one" * 100)
    outbox = Outbox(path, ROOMY, at(NOW_S))
    add(outbox, new(1))
    outbox.close()
    assert path.with_name("outbox.sqlite.damaged").read_bytes().startswith(b"not a database")

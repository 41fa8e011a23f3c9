"""The latch file: killed at any byte, damaged anywhere, on a full disk."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.effects import LatchRecord
from edge_agent.latch import CAPACITY, DamagedLatch, LatchFile, decoded, encoded
from edge_agent.latch_boot import open_latch
from pitwall.domain.stop_set import FleetScope, SetDelta, VehicleScope
from pitwall.ids import is_uuid7
from tests.unit.edge_agent.builders import OTHER, PIT, URI, VEHICLE, WALL, release, stop, stops

FIRST = LatchRecord(frozenset({"a"}), stops(stop("a", FleetScope())))
SECOND = LatchRecord(frozenset({"a", "b"}), stops(stop("a", FleetScope()), stop("b")))
EMPTY = LatchRecord()


def large(count: int) -> LatchRecord:
    """So many stops, each for many vehicles."""
    scope = VehicleScope(frozenset({VEHICLE} | {f"{OTHER}{n:03d}" for n in range(50)}))
    items = tuple(stop(f"stop-{n:05d}", scope) for n in range(count))
    return LatchRecord(frozenset(s.stop_id for s in items), SetDelta(items))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.latch"


@pytest.fixture
def written(path: Path) -> Path:
    """Empty, then FIRST, then SECOND in force."""
    write(path, EMPTY, FIRST, SECOND)
    return path


def write(path: Path, *records: LatchRecord) -> None:
    file = LatchFile(path)
    if not path.exists():
        file.create(records[0])
        records = records[1:]
    else:
        file.load()
    for record in records:
        file.write(record)
    file.close()


def load(path: Path) -> LatchRecord:
    file = LatchFile(path)
    try:
        return file.load()
    finally:
        file.close()


def test_the_last_record_is_in_force(written: Path) -> None:
    assert load(written) == SECOND


def test_zones_releases_and_latches_come_back_as_they_were(path: Path) -> None:
    record = LatchRecord(frozenset({"a"}), SetDelta((stop("a"), stop("z", PIT)), (release("own"),)))
    write(path, EMPTY, record)
    assert load(path) == record


def test_slots_take_turns(path: Path) -> None:
    write(path, EMPTY, *[FIRST, SECOND] * 20)
    assert load(path) == SECOND
    assert path.stat().st_size == 64 * 1024


# Killed while it writes


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets so many bytes reach the file and not one more."""

    def arm(budget: int) -> None:
        left = [budget]

        def pwrite(descriptor: int, content: bytes, at: int) -> int:
            part = content[: left[0]]
            real(descriptor, part, at)
            left[0] -= len(part)
            if len(part) < len(content):
                raise Killed
            return len(part)

        monkeypatch.setattr(os, "pwrite", pwrite)

    real = os.pwrite
    yield arm
    monkeypatch.setattr(os, "pwrite", real)


def test_killed_at_any_byte_it_knows_the_old_latches_or_the_new(
    path: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    total = len(encoded(SECOND, CAPACITY)) + 32
    for cut in range(total + 1):
        path.unlink(missing_ok=True)
        write(path, EMPTY, FIRST)
        kill_after(cut)
        try:
            write(path, SECOND)
        except Killed:
            assert cut < total
        monkeypatch.undo()
        opened, record = open_latch(path, VEHICLE, URI, WALL, seen_before=True)
        opened.close()
        assert record.latched >= FIRST.latched, f"cut after {cut} bytes"
        if cut >= total:
            assert record == SECOND


# Damaged


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_one_damaged_byte_leaves_the_latches_or_a_stop(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("latch") / "x.latch"
    write(path, EMPTY, FIRST, SECOND)
    content = bytearray(path.read_bytes())
    meaningful = [i for i, byte in enumerate(content) if byte]
    at = data.draw(st.sampled_from(meaningful))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    opened, record = open_latch(path, VEHICLE, URI, WALL, seen_before=True)
    opened.close()
    assert record == SECOND or record.latched - {"a", "b"}, "never fewer latches and nothing said"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda p: p.write_bytes(b""), id="emptied"),
        pytest.param(lambda p: p.write_bytes(bytes(64 * 1024)), id="zeroed"),
        pytest.param(lambda p: p.write_bytes(os.urandom(64 * 1024)), id="noise"),
        pytest.param(lambda p: os.truncate(p, 5000), id="cut short"),
        pytest.param(lambda p: p.unlink(), id="deleted"),
    ],
)
def test_a_file_that_says_nothing_for_certain_is_a_stop_that_says_so(
    written: Path, damage: Callable[[Path], object]
) -> None:
    damage(written)
    opened, record = open_latch(written, VEHICLE, URI, WALL, seen_before=True)
    opened.close()
    added = [s for s in record.carried.stops if s.reason.startswith("LATCH_FILE_DAMAGED")]
    assert len(added) == 1
    assert added[0].stop_id in record.latched
    assert added[0].issuing_vehicle_id is None, "people release it: the vehicle can't know that the cause is gone"
    assert load(written) == record, "and it is there after the next start too"


def test_the_damaged_file_is_kept_for_people(written: Path) -> None:
    written.write_bytes(b"noise")
    open_latch(written, VEHICLE, URI, WALL, seen_before=True)[0].close()
    (kept,) = written.parent.glob("x.latch.damaged-*")
    assert kept.read_bytes() == b"noise"


def test_what_can_still_be_read_of_a_damaged_file_holds_too(written: Path) -> None:
    newest_slot = 0  # created in 0, FIRST in 1, SECOND in 0
    with written.open("r+b") as file:
        file.seek(8192 + newest_slot * CAPACITY)
        file.write(b"?")
    with pytest.raises(DamagedLatch) as damaged:
        load(written)
    assert damaged.value.rest == FIRST


def test_a_vehicle_that_was_never_here_has_no_latches(path: Path) -> None:
    opened, record = open_latch(path, VEHICLE, URI, WALL, seen_before=False)
    opened.close()
    assert record == EMPTY


# Large sets and full disks


def test_a_set_that_is_too_large_makes_a_larger_file(path: Path) -> None:
    write(path, EMPTY, large(200))
    assert load(path) == large(200)
    assert path.stat().st_size > 64 * 1024
    write(path, FIRST)
    assert load(path) == FIRST


def test_on_a_full_disk_the_ids_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, EMPTY)
    _fill_disk(monkeypatch)
    write(path, large(200))
    opened, record = open_latch(path, VEHICLE, URI, WALL, seen_before=True)
    opened.close()
    assert {s.stop_id for s in record.carried.stops} == record.latched, "each can be shown and released"
    assert {s.reason.rpartition(" ")[2] for s in record.carried.stops} == large(200).latched
    assert not record.latched & large(200).latched, "none stands for the stop that really has the id"
    assert all(map(is_uuid7, record.latched)), "each can be named in a release"
    again, same = open_latch(path, VEHICLE, URI, WALL, seen_before=True)
    again.close()
    assert same.latched == record.latched


def test_more_ids_than_fit_are_a_stop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, EMPTY)
    _fill_disk(monkeypatch)
    write(path, large(3000))
    monkeypatch.undo()
    opened, record = open_latch(path, VEHICLE, URI, WALL, seen_before=True)
    opened.close()
    assert any(s.reason.startswith("LATCH_FILE_DAMAGED") for s in record.carried.stops)


def test_a_full_disk_does_not_touch_a_file_that_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, EMPTY)
    blocks = path.stat().st_blocks
    _fill_disk(monkeypatch)
    write(path, *[FIRST, SECOND] * 10)
    assert load(path) == SECOND
    assert path.stat().st_blocks == blocks >= 128, "every block was allocated before"


def _fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)


# The encoding


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"latched":1,"stop_set":"","cut":false}', b"\xff"])
def test_what_was_not_encoded_is_not_decoded(content: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decoded(content)

"""A damaged file: whatever of it is garbage, no garbage goes up, new readings are stored, and it is said."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import Queue

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent import outbox_writer
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.outbox_commands import Command, Fetch, Outcome
from edge_agent.outbox_writer import OutboxWriter
from edge_agent.readings_log import ReadingsLog
from edge_agent.shipment import BatchLimits, Shipment, Stored
from pitwall.clock import boottime_s
from pitwall.domain.sequence import SequenceRange
from tests.unit.edge_agent.builders import VEHICLE

KEPT = 120
PAGE_BYTES = 4096
WAIT_S = 5.0
ROOMY = Bounds(10**9, 7 * 86_400.0)


def new(sequence: int, epoch: int = 7) -> NewReading:
    made = Reading(vehicle_id=VEHICLE, boot_epoch=epoch, sequence=sequence, speed_kph=12.5)
    made.tire_pressure_front_left_psi, made.altitude_meters, made.heading_degrees = 100.25, 512.5, sequence % 360
    return NewReading(VEHICLE, Stored(epoch, sequence, made.SerializeToString()), boottime_s())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with KEPT readings, all of it in the database and nothing in its log."""
    path = tmp_path_factory.mktemp("whole") / "outbox.sqlite"
    with closing(Outbox(path, ROOMY, Moment.now())) as outbox:
        outbox.begin()
        outbox.add(new(sequence) for sequence in range(1, KEPT + 1))
        outbox.commit()
    assert path.stat().st_size >= 6 * PAGE_BYTES
    return path


def garbage(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(random.Random(page).randbytes(PAGE_BYTES))


def zeros(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))


def cut_off(path: Path, page: int) -> None:
    os.truncate(path, page * PAGE_BYTES + 100)


def one_bit(path: Path, page: int) -> None:
    """In each hundred bytes of the page."""
    with path.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        content = bytearray(file.read(PAGE_BYTES))
        for at in range(50, len(content), 100):
            content[at] ^= 0x10
        file.seek(page * PAGE_BYTES)
        file.write(content)


@pytest.mark.parametrize("spoil", [garbage, zeros, cut_off, one_bit])
def test_whichever_page_is_bad_no_garbage_goes_up_and_new_readings_are_stored(
    whole: Path, tmp_path: Path, spoil: Callable[[Path, int], None]
) -> None:
    lost, pages = 0, whole.stat().st_size // PAGE_BYTES
    for page in range(pages):
        path = tmp_path / f"{page}.sqlite"
        shutil.copy(whole, path)
        spoil(path, page)
        lost += _goes_on(path)
    assert lost > KEPT / 2, "most pages hold readings, and theirs are gone"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE reading SET sequence = -5 WHERE sequence = 3",
        "UPDATE reading SET sequence = 'x' WHERE sequence = 3",
        "UPDATE reading SET wall_s = 'x' WHERE sequence = 1",
        "UPDATE reading SET stream = 99 WHERE sequence = 1",
        "UPDATE stream SET boot_epoch = 'x'",
        "INSERT INTO lost VALUES (1, 9, 3, 'OUTBOX_FULL', 1)",
        "INSERT INTO lost VALUES (1, 'x', 3, 'OUTBOX_FULL', 1)",
    ],
)
def test_a_row_that_can_not_be_makes_way_for_a_new_file(whole: Path, tmp_path: Path, change: str) -> None:
    """SQLite finds nothing wrong with it."""
    path = tmp_path / "outbox.sqlite"
    shutil.copy(whole, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    told: Queue[Outcome] = Queue()
    writer = OutboxWriter(path, Bounds(1000, 7 * 86_400.0), ReadingsLog(None), told.put)
    try:
        writer.left_over(VEHICLE)
        for sequence in (1, 2):
            _run(writer, told, new(sequence, epoch=8))
    finally:
        assert writer.close(WAIT_S)
    assert writer.failures
    assert path.with_name("outbox.sqlite.damaged").exists()
    with closing(Outbox(path, ROOMY, Moment.now())) as again:
        assert again.pending(VEHICLE) == [(8, SequenceRange(1, 2))]


def test_a_damaged_file_that_can_not_be_moved_is_no_reason_to_stop(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Read-only file system")

    path = tmp_path / "outbox.sqlite"
    shutil.copy(whole, path)
    garbage(path, 3)
    monkeypatch.setattr(outbox_writer, "set_aside", refuse)
    told: Queue[Outcome] = Queue()
    writer = OutboxWriter(path, ROOMY, ReadingsLog(None), told.put)
    writer.left_over(VEHICLE)
    outcome = _run(writer, told, new(1, epoch=8))
    assert [reading.stored.sequence for reading in outcome.stored] == [1]
    assert outcome.problem
    assert writer.close(WAIT_S)


def _goes_on(path: Path) -> int:
    """How many of the old readings are lost."""
    told: Queue[Outcome] = Queue()
    writer = OutboxWriter(path, ROOMY, ReadingsLog(None), told.put)
    shipment = Shipment()
    try:
        for boot_epoch, r in writer.left_over(VEHICLE)[0]:
            shipment.on_disk(boot_epoch, r.first, r.last)
        found, missing = _fetch_all(writer, told, shipment)
        assert all(content == new(sequence).stored.content for sequence, content in found.items())
        for sequence in (1, 2):
            _run(writer, told, new(sequence, epoch=8))
    finally:
        assert writer.close(WAIT_S)
    with closing(Outbox(path, ROOMY, Moment.now())) as again:
        stored = [r for epoch, r in again.pending(VEHICLE) if epoch == 8]
        assert sum(map(len, stored)) == 2
    assert missing <= KEPT - len(found)
    return KEPT - len(found)


def _fetch_all(writer: OutboxWriter, told: "Queue[Outcome]", shipment: Shipment) -> tuple[dict[int, bytes], int]:
    """(contents by sequence, how many are declared lost)."""
    limits = BatchLimits(50, 100_000, 1_000)
    found: dict[int, bytes] = {}
    missing = 0
    for _ in range(3 * KEPT):
        wanted = shipment.wanted(limits)
        if wanted is None:
            return found, missing
        ((_, readings),) = _run(writer, told, Fetch(VEHICLE, wanted)).fetched
        missing += sum(map(len, shipment.fetched(wanted, readings)))
        while (batch := shipment.take(limits, 0.0)) is not None:
            found.update((reading.sequence, reading.content) for reading in batch.readings)
            shipment.gone(batch.boot_epoch, [SequenceRange(batch.readings[0].sequence, batch.readings[-1].sequence)])
    raise AssertionError("history is asked for again and again")


def _run(writer: OutboxWriter, told: "Queue[Outcome]", command: Command) -> Outcome:
    assert writer.put(command)
    return told.get(timeout=WAIT_S)

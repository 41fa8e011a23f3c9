"""The first start of a vehicle, killed wherever it may be: no damage. A file that was there and is gone: damage."""

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edge_agent.build import NoDisk, look, open_latches
from edge_agent.config import AgentSettings
from edge_agent.effects import LatchRecord
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.shipment import Stored
from pitwall.clock import boottime_s
from tests.unit.edge_agent.builders import OTHER, VEHICLE


def settings_of(folder: Path) -> AgentSettings:
    return cast("AgentSettings", SimpleNamespace(data_dir=folder))


def started(folder: Path, steps: int = 3) -> LatchRecord | None:
    """The first steps of a start, in the order of the process; then it is killed. What holds the vehicle, if known."""
    settings = settings_of(folder)
    store, remembered = look(settings, [VEHICLE])
    latch = None
    if steps >= 2:
        files, latches = open_latches(settings, remembered)
        files[VEHICLE].close()
        latch = latches[VEHICLE]
    if steps >= 3:
        store.began(remembered, Moment.now().wall.timestamp())
    store.close()
    return latch


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_first_start_that_is_killed_leaves_no_damage(tmp_path: Path, killed_after: int) -> None:
    started(tmp_path, killed_after)
    assert started(tmp_path) == LatchRecord()
    assert started(tmp_path) == LatchRecord()


def test_a_latch_file_that_is_gone_after_a_start_is_damage_and_holds(tmp_path: Path) -> None:
    started(tmp_path)
    (tmp_path / f"{VEHICLE}.latch").unlink()
    record = started(tmp_path, 2)
    assert record is not None
    (stop,) = record.carried.stops
    assert record.latched == {stop.stop_id}
    assert "LATCH_FILE_DAMAGED: the file is gone" in stop.reason
    again = started(tmp_path)
    assert again is not None
    assert again.latched == record.latched, "it holds until somebody releases it, killed or not"


@pytest.mark.parametrize("name", ["state.sqlite", f"{VEHICLE}.latch"])
def test_what_can_not_be_opened_for_writing_ends_the_start_with_its_name_and_the_mend(
    tmp_path: Path, name: str
) -> None:
    """A disk that is read-only from the start, for example: no vehicle drives that could forget a stop."""
    started(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(NoDisk, match=rf"{tmp_path}.*(with room|needs 64 KiB)"):
        started(tmp_path)


#: An epoch of a clock that ran decades ahead.
AHEAD = 4_000_000_000_000


def keep_readings(folder: Path, epochs: dict[str, int]) -> None:
    """One reading of each vehicle that nobody has acknowledged."""
    with closing(Outbox(folder / "outbox.sqlite", Bounds(10**9, 86_400.0), Moment.now())) as outbox:
        outbox.begin()
        outbox.add(NewReading(vehicle, Stored(epoch, 1, b"x"), boottime_s()) for vehicle, epoch in epochs.items())
        outbox.commit()


def looked(folder: Path) -> int:
    """The boot_epoch of the next start."""
    store, remembered = look(settings_of(folder), [VEHICLE])
    store.close()
    return remembered[VEHICLE].boot_epoch


def test_a_start_is_newer_than_all_that_waits_in_the_outbox_whatever_has_become_of_the_state(tmp_path: Path) -> None:
    """Otherwise the gateway ends every stream on which the older readings are offered."""
    started(tmp_path)
    keep_readings(tmp_path, {VEHICLE: 7})
    keep_readings(tmp_path, {VEHICLE: AHEAD, OTHER: 2 * AHEAD})
    (tmp_path / "state.sqlite").write_bytes(b"x" * 4096)
    assert looked(tmp_path) == AHEAD + 1


@pytest.mark.parametrize("content", [b"", b"x" * 4096])
def test_an_outbox_that_says_nothing_is_no_reason_not_to_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(content)
    assert looked(tmp_path) < AHEAD


def test_an_outbox_with_an_epoch_that_can_not_be_is_no_reason_not_to_start(tmp_path: Path) -> None:
    keep_readings(tmp_path, {VEHICLE: 7})
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as connection:
        connection.execute("UPDATE stream SET boot_epoch = 'x'")
        connection.commit()
    assert looked(tmp_path) < AHEAD


def test_no_look_makes_an_outbox(tmp_path: Path) -> None:
    looked(tmp_path)
    assert not (tmp_path / "outbox.sqlite").exists()

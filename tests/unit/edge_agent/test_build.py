"""The first start of a vehicle, killed wherever it may be: no damage. A file that was there and is gone: damage."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edge_agent.build import look, open_latches
from edge_agent.config import AgentSettings
from edge_agent.effects import LatchRecord
from tests.unit.edge_agent.builders import VEHICLE


def started(folder: Path, steps: int = 3) -> LatchRecord | None:
    """The first steps of a start, in the order of the process; then it is killed. What holds the vehicle, if known."""
    settings = cast("AgentSettings", SimpleNamespace(data_dir=folder))
    store, remembered = look(settings, [VEHICLE])
    latch = None
    if steps >= 2:
        files, brought = open_latches(settings, remembered)
        files[VEHICLE].close()
        latch = brought[VEHICLE].latch
    if steps >= 3:
        store.began(remembered)
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

"""Every server and service of the picture killed in turn, on a fleet at work: `make chaos`."""

import time
from collections.abc import Iterator

import pytest

from tests.integration.picture_rig import Picture, picture, short_recording
from tests.support.picture import await_none

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

VEHICLES = 12
KILLED = ["flink-taskmanager", "flink-jobmanager", "fleet-1", "postgres", "redis", "kafka"]
#: Between two kills, so that each falls upon a picture that works: some checkpoints.
QUIET_S = 15.0
#: Then it waits for the last seconds of a minute: what was sampled in them comes when their window might be out.
BEFORE_THE_MINUTE_S = 4.0


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Picture]:
    recording = short_recording(tmp_path_factory.mktemp("kills") / "recording.csv")
    with picture("kills", vehicles=VEHICLES, time_scale=20.0, replay=recording) as started:
        await_none(started.out_of_date, 90)
        yield started


@pytest.mark.parametrize("process", KILLED)
def test_within_30_s_of_a_kill_the_picture_is_that_of_the_moment_and_nothing_is_lost(
    shown: Picture, process: str
) -> None:
    time.sleep(QUIET_S)
    time.sleep((60 - BEFORE_THE_MINUTE_S - time.time()) % 60)
    shown.kill(process)
    shown.await_exact()


def test_after_all_of_them_the_first_faults_are_over_and_exact(shown: Picture) -> None:
    time.sleep(max(shown.faults_over_s() - time.time(), 0))
    shown.await_exact()

"""The whole picture on a real stack: what vehicles do, and what is wrong with them, as the fleet service shows it.

The tests run in their order on one stack, while the vehicles' first faults come and go: meanwhile bad records are sent
and processes are killed, and at the end nothing is missing, wrong or twice. `make chaos` kills the rest.
"""

import time
from collections.abc import Iterator

import pytest

from deploy.local import lifecycle
from tests.integration.picture_rig import Picture, picture, short_recording
from tests.integration.stream_windows import poison
from tests.integration.test_local_stack import assert_nothing_left, ports_in_use
from tests.integration.test_observability import BORN_LATER, in_tables, scraped
from tests.support.picture import await_none

# A start of everything, and the longest fault with its clearing.
pytestmark = pytest.mark.timeout(600)

#: The first faults of six vehicles of this seed are of all five kinds that there are at this time scale.
VEHICLES, SEED, TIME_SCALE = 6, 1678, 20.0
SHOWN_WITHIN_S = 90.0
BAD_RECORDS = 1_000


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Picture]:
    recording = short_recording(tmp_path_factory.mktemp("picture") / "recording.csv")
    with picture("picture", vehicles=VEHICLES, seed=SEED, time_scale=TIME_SCALE, replay=recording) as started:
        yield started


def test_every_vehicle_is_shown_as_it_is(shown: Picture) -> None:
    await_none(shown.out_of_date, SHOWN_WITHIN_S - (time.monotonic() - shown.up_s))
    assert len(shown.view.vehicles().vehicles) == VEHICLES + 1


def test_a_thousand_bad_records_are_counted_and_hold_nobody_up(shown: Picture) -> None:
    before = shown.dead_letters()
    shown.send(poison(5, BAD_RECORDS))
    await_none(lambda: _fewer(shown.dead_letters() - before), 60)
    await_none(lambda: _fewer(shown.counted("fleet-1", "pitwall_fleet_records_poison_total")), 30)
    assert shown.counted("stream-jobs", "pitwall_stream_job_submissions_total") == 1
    assert shown.counted("flink-jobmanager", "flink_jobmanager_job_numRestarts") == 0
    await_none(shown.out_of_date, 10)


def _fewer(count: float) -> list[str]:
    return [] if count == BAD_RECORDS else [f"{count:g} of {BAD_RECORDS} counted"]


@pytest.mark.parametrize(
    ("job", "process"),
    [
        ("fleet", "fleet-1"),
        ("stream-jobs", "stream-jobs"),
        ("flink-jobmanager", "flink-jobmanager"),
        ("flink-taskmanager", "flink-taskmanager"),
    ],
)
def test_what_it_shows_of_itself_is_explained_and_what_is_explained_is_shown(
    shown: Picture, job: str, process: str
) -> None:
    expected = in_tables(job)

    def missing() -> list[str]:
        return sorted(expected.keys() - BORN_LATER.get(job, set()) - scraped(shown.stack, process).keys())

    await_none(missing, 60)
    ours = {name for name in scraped(shown.stack, process) if name.startswith(("pitwall_", "grpc_"))}
    assert ours <= expected.keys()


@pytest.mark.parametrize("process", ["fleet-1", "flink-taskmanager"])
def test_after_a_kill_the_picture_is_soon_that_of_the_moment(shown: Picture, process: str) -> None:
    shown.kill(process)


def test_each_fault_was_one_alert_and_each_reading_is_in_its_window(shown: Picture) -> None:
    time.sleep(max(shown.faults_over_s() - time.time(), 0))  # the schedule is by the clock; nothing tells of its end
    shown.await_exact()
    rules = {record.alert.rule for record in shown.view.alerts()} - {"LINK_LOST"}
    assert rules == {"OVERHEATING", "LOW_FUEL", "LOW_BATTERY", "HIGH_TIRE_PRESSURE", "LOW_TIRE_PRESSURE"}


def test_down_leaves_nothing_of_all_that(shown: Picture) -> None:
    assert ports_in_use(shown.stack), "so that what is looked for was there"
    lifecycle.down(shown.stack.home)
    assert_nothing_left(shown.stack)
    lifecycle.down(shown.stack.home)

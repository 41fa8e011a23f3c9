"""The stream job's state in S3: found again after a killed job manager, and by another version."""

from pathlib import Path

import pytest

from deploy.local.options import Server
from tests.integration.s3 import BUCKET, FlinkOnS3, plugins, s3_server
from tests.integration.stacks import running
from tests.integration.stream_job import NOTHING_ELSE, STARTS_WITHIN_S, StreamJob, await_until, kept
from tests.integration.stream_sweeps import BEGIN_S, CLEARED, RAISED, alerts_of, raised_by, reading, steps_of
from tests.integration.stream_versions import LOWER_SPEED, version

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_state_in_s3_outlasts_a_job_manager_and_a_version(tmp_path: Path) -> None:
    found = plugins(tmp_path / "plugins")
    with (
        running("s3", servers=frozenset({Server.KAFKA}), **NOTHING_ELSE) as stack,
        s3_server(stack.places.logs / "s3.log") as url,
    ):
        flink = FlinkOnS3(stack, url, found)
        place = f'checkpoint_dir = "s3://{BUCKET}/stream-jobs"\nlocal_dir = "{tmp_path}/plans"\n'
        with flink.started(), kept(stack, place, flink.environment) as job:
            _raise(job, "S3-1")
            job.await_checkpoint()
            flink.kill("flink-jobmanager")
            flink.start("flink-jobmanager")
            await_until("the job is submitted again", lambda: job.submissions() > 1, STARTS_WITHIN_S, job.told)
            job.await_running()
            assert _cleared(job, "S3-1", 10.0)
            _raise(job, "S3-2")
            before = job.version()
            job.deploy(version(tmp_path, "lower", rules=LOWER_SPEED))
            await_until("it is replaced", lambda: job.version() not in ("", before), STARTS_WITHIN_S, job.told)
            job.await_running()
            assert _cleared(job, "S3-2", 44.0)
            restored = [line for line in job.log() if line["event"] == "submitted"][-1]["restored_from"]
            assert str(restored).startswith(f"s3://{BUCKET}/stream-jobs/{before}/savepoint-")


def _raise(job: StreamJob, vehicle: str) -> None:
    job.send(reading(vehicle, 1, BEGIN_S, {"speed_kph": 99.0}))
    job.flush()
    job.tail("vehicle-alerts").until("it is raised", lambda r: bool(alerts_of(r, vehicle)))


def _cleared(job: StreamJob, vehicle: str, at_kph: float) -> bool:
    """By the alert that was raised before."""
    job.send(reading(vehicle, 2, BEGIN_S + 60, {"speed_kph": at_kph}))
    job.flush()
    records = job.tail("vehicle-alerts").until("it is cleared", lambda r: len(steps_of(r, vehicle)) >= 2)
    return [(a.state, raised_by(a)) for a in steps_of(records, vehicle)] == [(RAISED, 1), (CLEARED, 1)]

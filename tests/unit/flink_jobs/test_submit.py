"""What Flink is told about the job."""

from dataclasses import replace
from pathlib import Path

import pytest

from flink_jobs import client, submit
from flink_jobs.cluster import Cluster, RunningJob
from flink_jobs.job import Job
from flink_jobs.keeper import Submission
from flink_jobs.settings import Settings

SETTINGS = Settings("127.0.0.1:9092", "/data/checkpoints", flink_address="flink:8081", parallelism=2)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "libs").mkdir()
    for name in ("pitwall-flink.jar", "libs/b.jar", "libs/a.jar"):
        (tmp_path / name).touch()
    monkeypatch.setattr(submit.jars, "__defaults__", (tmp_path,))
    return tmp_path


def test_the_job_goes_to_the_cluster_with_its_jars(built: Path) -> None:
    chosen = submit.configuration(SETTINGS)
    assert chosen["pipeline.jars"].split(";") == [
        (built / name).as_uri() for name in ("pitwall-flink.jar", "libs/a.jar", "libs/b.jar")
    ]
    assert (chosen["rest.address"], chosen["rest.port"], chosen["parallelism.default"]) == ("flink", "8081", "2")
    assert chosen["execution.checkpointing.interval"] == "3000 ms"
    assert chosen["execution.checkpointing.dir"] == f"file:///data/checkpoints/{submit.fingerprint(SETTINGS)}"
    assert chosen["pipeline.name"] == f"pitwall-stream-jobs {submit.fingerprint(SETTINGS)}"


def test_it_goes_on_from_the_last_checkpoint_by_the_plan_of_these_very_jars(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over: list[tuple[Path, Path | None]] = []

    def hand_over(plan: Path, job: Job, chosen: object, jars: object, restore_from: Path | None) -> str:
        handed_over.append((plan, restore_from))
        return "a" * 32

    monkeypatch.setattr(client, "hand_over", hand_over)
    monkeypatch.setattr(Cluster, "jobs", lambda _: [RunningJob("c", SETTINGS.name + " old", "FAILED", 0, 8)])
    settings = replace(SETTINGS, checkpoint_dir=str(tmp_path / "checkpoints"))
    assert submit.submit(settings) == Submission("a" * 32, None)
    checkpoint = tmp_path / "checkpoints" / submit.fingerprint(settings) / ("b" * 32) / "chk-7"
    checkpoint.mkdir(parents=True)
    (checkpoint / "_metadata").touch()
    assert submit.submit(settings) == Submission("a" * 32, str(checkpoint))
    (built / "pitwall-flink.jar").write_bytes(b"changed")
    submit.submit(settings)
    (first, nothing), (second, last), (third, _) = handed_over
    assert (nothing, last) == (None, checkpoint)
    assert first == second != third


def test_no_second_job_beside_one_that_a_killed_keeper_has_just_submitted(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "jobs", lambda _: [RunningJob("c", SETTINGS.name + " 0123", "INITIALIZING", 0, 0)])
    with pytest.raises(submit.AlreadyThere, match="job c is there already"):
        submit.submit(replace(SETTINGS, checkpoint_dir=str(tmp_path)))


@pytest.mark.parametrize("missing", ["pitwall-flink.jar", "libs"])
def test_missing_jars_are_named_with_the_mend(built: Path, missing: str) -> None:
    for path in [built / missing] if missing.endswith("jar") else (built / missing).iterdir():
        path.unlink()
    with pytest.raises(submit.JarsMissing, match=r"bootstrap\.sh"):
        submit.jars()

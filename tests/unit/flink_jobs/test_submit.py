"""What Flink is told about the job."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from threading import Event, Thread

import pytest

from flink_jobs import submit
from flink_jobs.checkpoints import Entry, State, StateGone
from flink_jobs.client import Client
from flink_jobs.cluster import Cluster, NotStopped, RunningJob
from flink_jobs.job import Job
from flink_jobs.keeper import Submission
from flink_jobs.settings import InvalidSettings, Settings

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


class FakeFlink:
    """Instead of Flink's classes. ``unfit_names``: what a new version has no place for."""

    def __init__(self) -> None:
        self.unfit_names: list[str] = []
        #: So many reads of state find that the job has removed it.
        self.gone = 0
        self.submitted: list[tuple[Path, str | None, bool]] = []

    def planned(self, plan: Path, job: Job) -> Path:
        return plan

    def unfit(self, graph: Path, state: State) -> list[str]:
        if self.gone:
            self.gone -= 1
            raise StateGone(state.folder)
        return self.unfit_names

    def listed(self, folder: str) -> list[Entry]:
        path = Path(folder.removeprefix("file://"))
        found = sorted(path.iterdir()) if path.is_dir() else []
        return [Entry(each.name, each.is_dir(), each.stat().st_mtime_ns // 1_000_000) for each in found]

    def remove(self, path: str) -> None:
        rmtree(path.removeprefix("file://"))

    def read(self, path: str) -> bytes:
        return Path(path.removeprefix("file://")).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        Path(path.removeprefix("file://")).write_bytes(content)

    def submit(self, graph: Path, jars: object, state: State | None, *, partly: bool) -> str:
        self.submitted.append((graph, state.folder if state else None, partly))
        return "n" * 32


@dataclass
class Site:
    """A cluster on which ``jobs`` run, and their states."""

    settings: Settings
    jobs: list[RunningJob]
    flink: FakeFlink
    stopped: list[str]
    #: Of the next stop; None: it makes no savepoint.
    savepoint: str | None = "savepoint-a-1"
    _made: int = 0

    def state(self, folder: str) -> str:
        """Each a second after the one before: files that are made at once have one time."""
        path = Path(self.settings.checkpoint_dir) / folder
        path.mkdir(parents=True)
        (path / "_metadata").touch()
        self._made += 1
        os.utime(path / "_metadata", (self._made, self._made))
        return path.as_uri()


@pytest.fixture
def site(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(replace(SETTINGS, checkpoint_dir=str(tmp_path / "checkpoints")), [], FakeFlink(), [])

    def stop(_: Cluster, job_id: str, folder: str) -> str:
        if site.savepoint is None:
            raise NotStopped("not all tasks run")
        site.stopped.append(f"stop {job_id}")
        return site.state(f"{folder.rpartition('/')[2]}/{site.savepoint}")

    monkeypatch.setattr(Client, "start", lambda _: site.flink)
    monkeypatch.setattr(Cluster, "jobs", lambda _: site.jobs)
    monkeypatch.setattr(Cluster, "stop", stop)
    monkeypatch.setattr(Cluster, "cancel", lambda _, job_id: site.stopped.append(f"cancel {job_id}"))
    return site


OLD = "0" * 12


def running(name: str = f"{SETTINGS.name} {OLD}", job_id: str = "old") -> RunningJob:
    return RunningJob(job_id, name, "RUNNING", 8, 8)


def test_the_first_start_has_no_state(site: Site) -> None:
    assert submit.submit(site.settings) == Submission("n" * 32, None)


def test_it_goes_on_from_the_newest_state_whatever_text_made_it(site: Site) -> None:
    site.jobs = [RunningJob("c", f"{SETTINGS.name} {OLD}", "FAILED", 0, 8)]
    chk = site.state(f"{OLD}/{'b' * 32}/chk-7")
    assert submit.submit(site.settings) == Submission("n" * 32, chk)
    assert (site.flink.submitted[0][1:], site.stopped) == ((chk, False), [])


def test_the_plan_is_that_of_these_very_jars(site: Site, built: Path) -> None:
    submit.submit(site.settings)
    submit.submit(site.settings)
    (built / "pitwall-flink.jar").write_bytes(b"changed")
    submit.submit(site.settings)
    first, second, third = (plan for plan, _, _ in site.flink.submitted)
    assert first == second != third


def test_an_older_version_is_stopped_with_a_savepoint_from_which_the_new_one_goes_on(site: Site) -> None:
    site.jobs = [running()]
    site.state(f"{OLD}/{'b' * 32}/chk-7")
    done = submit.submit(site.settings)
    assert done == Submission("n" * 32, f"{site.settings.checkpoint_url}/{OLD}/savepoint-a-1", "old")
    assert site.stopped == ["stop old"]


def test_an_older_version_that_can_make_no_savepoint_is_cancelled(site: Site) -> None:
    site.jobs, site.savepoint = [running()], None
    chk = site.state(f"{OLD}/{'b' * 32}/chk-7")
    assert submit.submit(site.settings) == Submission("n" * 32, chk, "old")
    assert site.stopped == ["cancel old"]


def test_state_without_a_place_is_named_and_the_older_version_runs_on(site: Site) -> None:
    site.jobs, site.flink.unfit_names = [running()], ["windows of 1 min", "windows of 5 min"]
    site.state(f"{OLD}/{'b' * 32}/chk-7")
    with pytest.raises(submit.StateUnfit) as refused:
        submit.submit(site.settings, without=["windows of 5 min"])
    assert f"{OLD}/{'b' * 32}/chk-7 holds what this version has no place for: windows of 1 min." in str(refused.value)
    assert "upgrade --without 'windows of 1 min' --without 'windows of 5 min'`" in str(refused.value)
    assert (site.stopped, site.flink.submitted) == ([], [])


@pytest.mark.parametrize("gone", [1, 4])
def test_state_that_the_older_version_removes_meanwhile_is_looked_for_anew(site: Site, gone: int) -> None:
    site.jobs, site.flink.gone, site.flink.unfit_names = [running()], gone, ["windows of 1 min"]
    site.state(f"{OLD}/{'b' * 32}/chk-7")
    with pytest.raises(submit.StateUnfit):
        submit.submit(site.settings)
    assert site.stopped == []


def state_at(site: Site, folder: str, at_s: int) -> str:
    url = site.state(folder)
    os.utime(Path(site.settings.checkpoint_dir) / folder / "_metadata", (at_s, at_s))
    return url


ANOTHER = "1" * 12


@pytest.mark.parametrize("others", [True, False], ids=["it went on from another's", "it began without any"])
def test_an_older_version_is_stopped_once_it_has_made_a_checkpoint_that_is_known_to_fit(
    site: Site, others: bool
) -> None:
    site.jobs, pauses = [running()], list[float]()
    if others:
        state_at(site, f"{OLD}/{'a' * 32}/chk-7", 1_000)
        state_at(site, f"{ANOTHER}/savepoint-b-1", 2_000)

    def sleep(seconds: float) -> None:
        assert site.stopped == []
        pauses.append(seconds)
        if len(pauses) == 4:
            state_at(site, f"{OLD}/{'c' * 32}/chk-1", 3_000)
            site.flink.unfit_names = ["windows of 1 min"]

    with pytest.raises(submit.StateUnfit, match="chk-1 holds what this version has no place for"):
        submit.submit(site.settings, sleep=sleep)
    assert (pauses, site.stopped) == ([SETTINGS.checkpoint_interval_s] * 4, [])


def test_an_older_version_that_makes_no_checkpoint_is_named_and_runs_on(site: Site) -> None:
    site.jobs, pauses = [running()], list[float]()
    site.state(f"{ANOTHER}/savepoint-b-1")
    rarely = replace(site.settings, checkpoint_interval_s=90)
    with pytest.raises(submit.NotCheckpointed, match=f"job old of version {OLD} has made no checkpoint yet.*cancel it"):
        submit.submit(rarely, sleep=pauses.append)
    assert (site.stopped, site.flink.submitted) == ([], [])
    assert 90 < sum(pauses) <= 100


def test_state_that_is_removed_again_and_again_ends_the_upgrade_and_not_the_older_version(site: Site) -> None:
    site.jobs, site.flink.gone = [running()], 99
    site.state(f"{OLD}/{'b' * 32}/chk-7")
    with pytest.raises(StateGone):
        submit.submit(site.settings)
    assert (site.stopped, site.flink.submitted) == ([], [])


def test_state_that_people_give_up_by_name_is_left_out(site: Site) -> None:
    site.jobs, site.flink.unfit_names = [running()], ["windows of 1 min"]
    site.state(f"{OLD}/{'b' * 32}/chk-7")
    done = submit.submit(site.settings, without=["windows of 1 min"])
    assert site.flink.submitted[0][1:] == (done.restored_from, True)
    assert done.restored_from is not None


def test_without_state_it_begins_where_the_old_one_stopped(site: Site) -> None:
    site.jobs, site.flink.unfit_names = [running()], ["windows of 1 min"]
    site.state(f"{OLD}/{'b' * 32}/chk-7")
    assert submit.submit(site.settings, without_state=True) == Submission("n" * 32, None, "old")
    assert (site.stopped, site.flink.submitted[0][1:]) == (["stop old"], (None, False))


def test_what_is_superfluous_is_removed(site: Site) -> None:
    for number in range(5):
        site.state(f"{number:012x}/{'b' * 32}/chk-1")
        (Path(site.settings.checkpoint_dir) / "plans").mkdir(exist_ok=True)
        (Path(site.settings.checkpoint_dir) / "plans" / f"{number:012x}.key").touch()
    submit.submit(site.settings)
    left = {path.name for path in Path(site.settings.checkpoint_dir).iterdir()}
    assert left == {"lock", "name", "plans", *(f"{number:012x}" for number in (2, 3, 4))}
    plans = {path.name for path in (Path(site.settings.checkpoint_dir) / "plans").iterdir()}
    assert plans == {f"{number:012x}.key" for number in (2, 3, 4)}


def test_a_job_of_another_name_neither_takes_state_nor_removes_any(site: Site) -> None:
    submit.submit(site.settings)
    states = [site.state(f"{number:012x}/{'b' * 32}/chk-1").removeprefix("file://") for number in range(9)]
    with pytest.raises(InvalidSettings) as refused:
        submit.submit(replace(site.settings, name="other"))
    assert f"checkpoint_dir: {site.settings.checkpoint_dir!r} holds the state of the job" in str(refused.value)
    assert "Give each a folder of its own" in str(refused.value)
    assert all(Path(state).exists() for state in states)
    assert len(site.flink.submitted) == 1


@pytest.mark.parametrize("older", [True, False], ids=["two of older versions", "one that a killed keeper submitted"])
def test_no_second_job_beside_another(site: Site, older: bool) -> None:
    own = RunningJob("c", submit.job_name(site.settings), "INITIALIZING", 0, 0)
    site.jobs = [running(job_id="c"), running(job_id="d")] if older else [own]
    with pytest.raises(submit.AlreadyThere, match="job c is there already"):
        submit.submit(site.settings)
    assert site.stopped == []


@pytest.mark.parametrize("name", [OLD, "own"], ids=["another version", "the own one"])
def test_who_shall_replace_none_leaves_alone_what_came_meanwhile(site: Site, name: str) -> None:
    site.jobs = [running(submit.job_name(site.settings) if name == "own" else f"{SETTINGS.name} {name}", "new")]
    site.state(f"{OLD}/{'b' * 32}/chk-7")
    with pytest.raises(submit.AlreadyThere, match="job new is there already"):
        submit.submit(site.settings, replace=False)
    assert (site.stopped, site.flink.submitted) == ([], [])


def test_who_shall_replace_none_submits_where_none_is(site: Site) -> None:
    chk = site.state(f"{OLD}/{'b' * 32}/chk-7")
    assert submit.submit(site.settings, replace=False) == Submission("n" * 32, chk)


def test_one_submission_at_a_time(tmp_path: Path) -> None:
    has_its_turn = Event()

    def other() -> None:
        with submit._locked(tmp_path / "new"):
            has_its_turn.set()

    with submit._locked(tmp_path / "new"):
        thread = Thread(target=other)
        thread.start()
        assert not has_its_turn.wait(0.2)
    assert has_its_turn.wait(10)
    thread.join()


@pytest.mark.parametrize("changed", ["a jar", "a setting"])
def test_a_version_is_text_settings_and_jars(built: Path, changed: str) -> None:
    before, elsewhere = submit.fingerprint(SETTINGS), replace(SETTINGS, kafka_bootstrap="other:1", flink_address="f:2")
    assert submit.fingerprint(elsewhere) == before
    if changed == "a jar":
        (built / "libs/a.jar").write_bytes(b"changed")
    settings = SETTINGS if changed == "a jar" else replace(SETTINGS, parallelism=3)
    assert submit.fingerprint(settings) != before


@pytest.mark.parametrize("missing", ["pitwall-flink.jar", "libs"])
def test_missing_jars_are_named_with_the_mend(built: Path, missing: str) -> None:
    for path in [built / missing] if missing.endswith("jar") else (built / missing).iterdir():
        path.unlink()
    with pytest.raises(submit.JarsMissing, match=r"bootstrap\.sh"):
        submit.jars()

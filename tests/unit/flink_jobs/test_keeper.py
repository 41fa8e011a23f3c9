"""What the keeper decides and does, look by look."""

from collections.abc import Sequence

import pytest

from flink_jobs.cluster import ClusterUnreachable, RunningJob
from flink_jobs.keeper import (
    MOST_FAILED_SUBMISSIONS,
    Decision,
    GaveUp,
    GiveUp,
    Keeper,
    StateLeftBehind,
    Submission,
    SubmissionFailed,
    Submit,
    Wait,
    Watch,
    decide,
)

NAME, VERSION = "jobs", "0123abcd"


def job(job_id: str, state: str = "RUNNING", name: str = f"{NAME} {VERSION}", running: int = 8) -> RunningJob:
    return RunningJob(job_id, name, state, running, 8)


@pytest.mark.parametrize(
    ("jobs", "watched", "decision"),
    [
        pytest.param([], (), Submit(replace=True), id="an empty cluster"),
        pytest.param([], ("a",), Submit(replace=False), id="forgotten, or it makes way at this moment"),
        pytest.param([job("a", "FINISHED")], ("a",), Submit(replace=False), id="stopped, perhaps for another version"),
        pytest.param([job("a", name="strangers 0123abcd")], (), Submit(replace=True), id="somebody else's job"),
        pytest.param([job("a")], (), Watch(job("a")), id="it runs already"),
        pytest.param(
            [job("a", "RESTARTING", running=0)], (), Watch(job("a", "RESTARTING", running=0)), id="restarting"
        ),
        pytest.param([job("a", "CANCELED")], ("a",), Submit(replace=False), id="somebody has cancelled it"),
        pytest.param([job("a", "FAILED")], ("a",), GiveUp(job("a", "FAILED")), id="Flink has given it up"),
        pytest.param([job("a", "FAILED")], (), Submit(replace=True), id="it had been given up before this process"),
        pytest.param([job("a", "FAILED"), job("b")], ("a",), Watch(job("b")), id="given up, and submitted by hand"),
        pytest.param([job("a", name=f"{NAME} old")], (), Submit(replace=True), id="an older version is replaced"),
    ],
)
def test_what_to_do(jobs: Sequence[RunningJob], watched: Sequence[str], decision: Decision) -> None:
    assert decide(jobs, NAME, VERSION, watched) == decision


@pytest.mark.parametrize(
    ("jobs", "says"),
    [
        pytest.param([job("a"), job("b")], "cancel all but one (a, b)", id="twice"),
        pytest.param(
            [job("a", name=f"{NAME} new")],
            "job a of version new has replaced 0123abcd: end this process",
            id="replaced",
        ),
    ],
)
def test_what_only_people_can_decide_is_said(jobs: Sequence[RunningJob], says: str) -> None:
    decision = decide(jobs, NAME, VERSION, ("an earlier one of ours",))
    assert isinstance(decision, Wait)
    assert says in decision.reason


@pytest.mark.parametrize(
    ("state", "running", "total", "at_work"),
    [("RUNNING", 8, 8, True), ("RUNNING", 7, 8, False), ("RUNNING", 0, 0, False), ("RESTARTING", 8, 8, False)],
)
def test_at_work_is_all_of_it(state: str, running: int, total: int, at_work: bool) -> None:
    assert RunningJob("a", "jobs x", state, running, total).at_work is at_work


class FakeCluster:
    """``answers``: what each look sees; the last one stays."""

    def __init__(self, *answers: list[RunningJob] | ClusterUnreachable) -> None:
        self.answers, self.checkpoints = list(answers), {"a": 0.0, "b": 0.0}

    def checkpointed_s(self, job_id: str) -> float:
        """As Flink, which says nothing of a job that isn't there yet."""
        if job_id not in self.checkpoints:
            raise ClusterUnreachable(f"404: {job_id}")
        return self.checkpoints[job_id]

    def jobs(self) -> list[RunningJob]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ClusterUnreachable):
            raise answer
        return answer

    def cause_of_failure(self, job_id: str) -> str:
        return f"cause of {job_id}"


class Told:
    """The submissions and the log."""

    def __init__(self, *outcomes: Submission | SubmissionFailed | StateLeftBehind) -> None:
        self.outcomes, self.events = list(outcomes), list[tuple[str, dict[str, object]]]()
        self.replacing: list[bool] = []

    def submit(self, replace: bool) -> Submission:
        self.replacing.append(replace)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def log(self, event: str, **details: object) -> None:
        self.events.append((event, details))


def keeper(cluster: FakeCluster, told: Told) -> Keeper:
    return Keeper(cluster, NAME, VERSION, told.submit, told.log)


def test_it_waits_for_the_cluster_submits_and_is_well_once_all_tasks_run() -> None:
    told = Told(Submission("a", None))
    away = ClusterUnreachable("refused")
    made = keeper(FakeCluster(away, [], [job("a", running=3)], [job("a")]), told)
    seen = []
    for _ in range(4):
        made.look()
        seen.append(made.trouble)
    assert seen == ["no job manager: refused", "being submitted", "job a is RUNNING: 3 of 8 tasks run", None]
    assert made.submissions == 1
    assert ("submitted", {"job_id": "a", "restored_from": None, "replaced": None}) in told.events


def test_a_job_manager_that_forgot_the_job_gets_it_again() -> None:
    told = Told(Submission("b", "/chk-9"))
    made = keeper(FakeCluster([job("a")], ClusterUnreachable("refused"), [], [job("b")]), told)
    for _ in range(4):
        made.look()
    assert (made.trouble, made.submissions) == (None, 1)
    assert ("submitted", {"job_id": "b", "restored_from": "/chk-9", "replaced": None}) in told.events


def test_a_job_that_flink_gave_up_ends_the_process_with_the_cause() -> None:
    made = keeper(FakeCluster([job("a")], [job("a", "FAILED")]), Told())
    made.look()
    with pytest.raises(GaveUp, match="Flink gave up job a: cause of a"):
        made.look()


def test_a_version_that_has_no_place_for_the_state_ends_at_once_and_is_not_tried_again() -> None:
    told = Told(StateLeftBehind("windows of 1 min"))
    made = keeper(FakeCluster([job("a", name=f"{NAME} old")]), told)
    with pytest.raises(StateLeftBehind, match="windows of 1 min"):
        made.look()
    assert told.outcomes == []


def test_who_has_been_replaced_does_not_replace_back() -> None:
    told = Told(Submission("a", None))
    made = keeper(FakeCluster([], [job("a")], [job("b", name=f"{NAME} new")]), told)
    for _ in range(4):
        made.look()
    assert "has replaced 0123abcd" in str(made.trouble)
    assert made.submissions == 1


def test_who_is_replaced_and_looks_between_the_two_jobs_replaces_none() -> None:
    told = Told(Submission("a", None), SubmissionFailed("job b is there already"))
    gone, new = [job("a", "FINISHED")], [job("a", "FINISHED"), job("b", name=f"{NAME} new")]
    made = keeper(FakeCluster([], [job("a")], gone, new), told)
    for _ in range(5):
        made.look()
    assert told.replacing == [True, False]
    assert "job b of version new has replaced 0123abcd" in str(made.trouble)


def test_the_time_of_the_newest_checkpoint_outlasts_the_job_manager() -> None:
    cluster = FakeCluster([job("a")], [job("a", running=3)], [job("b")], ClusterUnreachable("refused"))
    cluster.checkpoints = {"a": 1_000.5, "b": 0.0}
    made = keeper(cluster, Told())
    assert made.checkpointed_s == 0
    for _ in range(4):
        made.look()
    assert made.checkpointed_s == 1_000.5


def test_a_job_that_only_starts_is_not_asked_for_its_checkpoints() -> None:
    cluster = FakeCluster([job("c", "INITIALIZING", running=0)])
    made = keeper(cluster, Told())
    made.look()
    assert made.trouble == "job c is INITIALIZING: 0 of 8 tasks run"


def test_failing_submissions_are_repeated_and_not_for_ever() -> None:
    told = Told(*[SubmissionFailed("no slots")] * MOST_FAILED_SUBMISSIONS)
    made = keeper(FakeCluster([]), told)
    for _ in range(MOST_FAILED_SUBMISSIONS - 1):
        made.look()
        assert made.trouble == "submission failed: no slots"
    with pytest.raises(GaveUp, match="no slots"):
        made.look()


def test_a_submission_that_works_forgives_those_that_did_not() -> None:
    failed = [SubmissionFailed("busy")] * (MOST_FAILED_SUBMISSIONS - 1)
    told = Told(*failed, Submission("a", None), *failed, Submission("b", None))
    made = keeper(FakeCluster([]), told)
    for _ in range(2 * MOST_FAILED_SUBMISSIONS):
        made.look()
    assert (made.submissions, made.failed_submissions) == (2, 2 * len(failed))


def test_a_job_that_is_there_forgives_them_too() -> None:
    failed = [SubmissionFailed("busy")] * (MOST_FAILED_SUBMISSIONS - 1)
    gone: list[list[RunningJob]] = [[]] * len(failed)
    told = Told(*failed, *failed)
    made = keeper(FakeCluster(*gone, [job("a")], *gone, [job("a")]), told)
    for _ in range(2 * MOST_FAILED_SUBMISSIONS):
        made.look()
    assert (made.trouble, made.failed_submissions) == (None, 2 * len(failed))


def test_the_same_trouble_is_logged_once() -> None:
    told = Told()
    made = keeper(FakeCluster(ClusterUnreachable("refused")), told)
    for _ in range(3):
        made.look()
    assert told.events == [("not running", {"reason": "no job manager: refused"})]

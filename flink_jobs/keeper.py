"""Keeps the job running: submits it, watches it, and submits it again from its last checkpoint when it has got lost.

Flink itself restarts a job whose task manager died. A job manager without high availability forgets its jobs when it
dies, and that is what this is for. A job that Flink gave up is not submitted again by this process: it ends, loudly.
A job of another version is replaced once, at the start: who has seen the own version run and then finds another one has
been replaced, and leaves that alone.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol

from flink_jobs.cluster import ClusterUnreachable, RunningJob

#: So many submissions in a row that fail, and it won't help to go on.
MOST_FAILED_SUBMISSIONS: Final = 5


class JobManager(Protocol):
    """As flink_jobs.cluster.Cluster; all raise ClusterUnreachable."""

    def jobs(self) -> list[RunningJob]: ...

    def cause_of_failure(self, job_id: str) -> str: ...

    def checkpointed_s(self, job_id: str) -> float: ...


class GaveUp(Exception):
    """The job can't be kept running; says why."""


class SubmissionFailed(Exception):
    """The end of what the submitting process said."""


class StateLeftBehind(Exception):
    """This version has no place for some of the state, and people have to say that it may go; names it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Flink's id of the job, and the state from which it goes on; None: from the offsets in Kafka alone.

    replaced: the id of the older version's job.
    """

    job_id: str
    restored_from: str | None
    replaced: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to be done but to say this."""

    reason: str


@dataclass(frozen=True, slots=True)
class Submit:
    """The cluster has no such job, or one of another version.

    replace: one of another version that is there, or comes before this one's turn, makes way. Who has watched the own
    version replaces none: between the end of that one and the start of another there is a moment with no job at all.
    """

    replace: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """It is there."""

    job: RunningJob


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Flink has given it up."""

    job: RunningJob


Decision = Wait | Submit | Watch | GiveUp


def active_jobs(jobs: Iterable[RunningJob], name: str) -> list[RunningJob]:
    """Those called ``name``, of whatever version."""
    return [job for job in _ours(jobs, name) if job.active]


def _ours(jobs: Iterable[RunningJob], name: str) -> list[RunningJob]:
    return [job for job in jobs if job.name.rpartition(" ")[0] == name]


def decide(jobs: Iterable[RunningJob], name: str, version: str, watched: Collection[str]) -> Decision:
    """What to do about the job called "name version". watched: ids of the jobs that this process has seen active."""
    ours = _ours(jobs, name)
    active = active_jobs(ours, name)
    if len(active) > 1:
        return Wait(f"{len(active)} jobs are called {name}: cancel all but one ({', '.join(j.job_id for j in active)})")
    if active and active[0].name != f"{name} {version}":
        if not watched:
            return Submit(replace=True)
        there = active[0]
        return Wait(f"job {there.job_id} of version {there.version} has replaced {version}: end this process")
    if active:
        return Watch(active[0])
    for job in ours:
        if job.state == "FAILED" and job.job_id in watched:
            return GiveUp(job)
    return Submit(replace=not watched)


@dataclass(slots=True)
class Keeper:
    """One look at a time. ``submit`` goes on from the newest state, raises SubmissionFailed and StateLeftBehind.

    It is told whether to replace a job of another version, see Submit.
    """

    cluster: JobManager
    name: str
    version: str
    submit: Callable[[bool], Submission]
    log: Callable[..., None]
    #: None: all of the job runs.
    trouble: str | None = "not looked at yet"
    submissions: int = 0
    failed_submissions: int = 0
    #: Seconds since 1970 at which the newest complete checkpoint was, as far as a job manager has told; 0: none yet.
    checkpointed_s: float = 0.0
    #: In a row.
    _failed_submissions: int = 0
    _watched: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Looks once and acts. Raises GaveUp, and what ``submit`` does but for SubmissionFailed."""
        try:
            decision = decide(self.cluster.jobs(), self.name, self.version, self._watched)
            if isinstance(decision, Watch) and decision.job.at_work:
                self.checkpointed_s = max(self.checkpointed_s, self.cluster.checkpointed_s(decision.job.job_id))
        except ClusterUnreachable as error:
            decision = Wait(f"no job manager: {error}")
        match decision:
            case Wait(reason):
                self._say(reason)
            case Submit(replace):
                self._submit(replace)
            case Watch(job):
                self._watched.add(job.job_id)
                self._failed_submissions = 0
                tasks = f"{job.tasks_running} of {job.tasks_total} tasks run"
                self._say(None if job.at_work else f"job {job.job_id} is {job.state}: {tasks}")
            case GiveUp(job):
                raise GaveUp(f"Flink gave up job {job.job_id}: {self._cause(job)}")

    def _submit(self, replace: bool) -> None:
        self._say("being submitted")
        try:
            submission = self.submit(replace)
        except SubmissionFailed as error:
            self.failed_submissions += 1
            self._failed_submissions += 1
            if self._failed_submissions >= MOST_FAILED_SUBMISSIONS:
                raise GaveUp(f"{MOST_FAILED_SUBMISSIONS} submissions in a row failed; the last one: {error}") from error
            self._say(f"submission failed: {error}")
            return
        self._failed_submissions = 0
        self.submissions += 1
        self._watched.add(submission.job_id)
        self.log("submitted", **asdict(submission))

    def _cause(self, job: RunningJob) -> str:
        try:
            return self.cluster.cause_of_failure(job.job_id)
        except ClusterUnreachable as error:
            return str(error)

    def _say(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.log("running" if trouble is None else "not running", reason=trouble)
        self.trouble = trouble

"""Hands the job to a Flink cluster, from the newest state there is, in the place of an older version."""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from functools import partial
from pathlib import Path
from typing import Any, Final

from flink_jobs import checkpoints, plans
from flink_jobs.checkpoints import State, StateGone
from flink_jobs.client import Client
from flink_jobs.cluster import Cluster, NotStopped, RunningJob
from flink_jobs.job import PLANNING, compose
from flink_jobs.keeper import Submission, active_jobs
from flink_jobs.settings import InvalidSettings, Settings

_FOLDER: Final = Path(__file__).parent
_BUILT: Final = _FOLDER / "target"
#: What else than texts and settings a plan is made with.
_PLANNED_BY: Final = (_FOLDER / "requirements.lock", _FOLDER / "uids.py")
#: A checkpoint that takes longer is given up. So many in a row may be, while Kafka is away, before the job restarts.
_CHECKPOINT_TIMEOUT_S: Final = 60
_TOLERATED_CHECKPOINTS: Final = 10
#: So often the newest state is looked for, while a job that runs makes newer ones and removes those before.
_READS_OF_STATE: Final = 5
#: Between them, where a job that runs has made none: all together longer than any checkpoint_interval_s, and still
#: within what a submission may take.
_LONGEST_PAUSE_S: Final = 25.0


class JarsMissing(Exception):
    """Says how to get them."""


class AlreadyThere(Exception):
    """Names the job."""


class NotCheckpointed(Exception):
    """Names the older version's job, and how to go on. Nothing has been changed."""


class StateUnfit(Exception):
    """Names what of the state this version has no place for, and how to go on. Nothing has been changed."""


def jars(built: Path = _BUILT) -> list[Path]:
    """Our own jar and the connectors. Raises JarsMissing."""
    own, connectors = built / "pitwall-flink.jar", sorted(built.glob("libs/*.jar"))
    if not own.exists() or not connectors:
        raise JarsMissing(f"{built} holds no jars: run deploy/local/bootstrap.sh, or `mvn -f flink_jobs/pom.xml`")
    return [own, *connectors]


def job_name(settings: Settings) -> str:
    """Names the version too, so that two can be told apart."""
    return f"{settings.name} {fingerprint(settings)}"


def fingerprint(settings: Settings) -> str:
    """The version: of the text, the settings and the jars, wherever they are."""
    key = hashlib.sha256(str(compose(settings.kafka.anywhere())).encode())
    key.update(json.dumps(_behaviour(settings), sort_keys=True).encode())
    for file in _made_with():
        key.update(hashlib.sha256(file.read_bytes()).digest())
    return key.hexdigest()[:12]


def configuration(settings: Settings) -> dict[str, str]:
    """Flink's settings for the job."""
    host, _, port = settings.flink_address.rpartition(":")
    return {
        "rest.address": host,
        "rest.port": port,
        "pipeline.name": job_name(settings),
        "pipeline.jars": ";".join(jar.as_uri() for jar in jars()),
        "execution.checkpointing.dir": checkpoints.directory(settings.checkpoint_url, fingerprint(settings)),
        **_behaviour(settings),
    }


def _behaviour(settings: Settings) -> dict[str, str]:
    """Those that are the same wherever it runs."""
    return {
        "parallelism.default": str(settings.parallelism),
        # State is small per vehicle and constant, so it stays on the heap (RocksDB costs 40 % of the speed).
        "state.backend.type": "hashmap",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.interval": _duration(settings.checkpoint_interval_s),
        "execution.checkpointing.timeout": _duration(_CHECKPOINT_TIMEOUT_S),
        "execution.checkpointing.tolerable-failed-checkpoints": str(_TOLERATED_CHECKPOINTS),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "failure-rate",
        "restart-strategy.failure-rate.max-failures-per-interval": str(settings.restart_attempts),
        "restart-strategy.failure-rate.failure-rate-interval": _duration(settings.restart_window_s),
        "restart-strategy.failure-rate.delay": _duration(settings.restart_delay_s),
        **PLANNING,
    }


def submit(
    settings: Settings,
    *,
    without: Collection[str] = (),
    without_state: bool = False,
    replace: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Submission:
    """Returns once the cluster has accepted the job. Raises whatever Flink does.

    An older version is stopped only when this one is planned and has a place for all of its state, but for that which
    is called as in ``without``. One at a time: a keeper that was killed may have left a submission on its way, and two
    jobs would be one too many. Unless it shall ``replace``, a job of whatever version is one too many: who waited here
    may find what has replaced it. Raises AlreadyThere, ClusterUnreachable, InvalidSettings, NotCheckpointed,
    StateUnfit. What is superfluous is removed.
    """
    with _locked(settings.local_folder):
        cluster = Cluster(settings.flink_address)
        old = _to_replace(cluster.jobs(), settings, replace)
        version, job, chosen = fingerprint(settings), compose(settings.kafka), configuration(settings)
        pause = partial(sleep, min(settings.checkpoint_interval_s, _LONGEST_PAUSE_S))
        flink = Client.start(chosen)
        _claim(flink, settings)
        graph = flink.planned(plans.place(settings.local_folder, version, str(job), chosen, _made_with()), job)
        known = None if without_state else _fit(flink, graph, settings.checkpoint_url, without, old, pause)
        if old is not None:
            _stop(cluster, old, settings.checkpoint_url)
        if known is None or old is not None:  # what was stopped has left a newer one
            known = checkpoints.states(flink, settings.checkpoint_url)
        kept = checkpoints.remove_old(flink, settings.checkpoint_url, version, known)
        plans.remove_old(settings.local_folder, kept)
        state = known[0] if known and not without_state else None
        job_id = flink.submit(graph, jars(), state, partly=bool(without))
    return Submission(job_id, state.folder if state else None, old.job_id if old else None)


def _to_replace(jobs: list[RunningJob], settings: Settings, replace: bool) -> RunningJob | None:
    """The older version that runs. Raises AlreadyThere where there is what isn't to be replaced."""
    active = active_jobs(jobs, settings.name)
    for job in active:
        if not replace or job.name == job_name(settings) or len(active) > 1:
            raise AlreadyThere(f"job {job.job_id} is there already, called {job.name}")
    return active[0] if active else None


def _claim(flink: Client, settings: Settings) -> None:
    """Raises InvalidSettings where the folder for checkpoints is another job's."""
    owner = checkpoints.claim(flink, settings.checkpoint_url, settings.name)
    if owner != settings.name:
        raise InvalidSettings(
            f"checkpoint_dir: {settings.checkpoint_dir!r} holds the state of the job {owner!r}, and this one is called "
            f"{settings.name!r}: they would take each other's. Give each a folder of its own; where {owner!r} is the "
            f"former name of this one, see that it no longer runs and remove {settings.checkpoint_url}/name"
        )


def _fit(
    flink: Client,
    graph: Any,
    checkpoint_url: str,
    without: Collection[str],
    old: RunningJob | None,
    pause: Callable[[], None],
) -> list[State]:
    """The states that there are, the newest of which has a place in ``graph``. Raises NotCheckpointed, StateUnfit.

    Where ``old`` runs, it must have made that: what it is stopped with has the same operators then. A job that runs
    removes the newest as soon as there is a newer one: then that is read.
    """
    for left in reversed(range(_READS_OF_STATE)):
        known = checkpoints.states(flink, checkpoint_url)
        try:
            if old is not None:
                _check_own(old, known)
            if known:
                _refuse_unfit(known[0], flink.unfit(graph, known[0]), without)
        except StateGone:
            if not left:
                raise
        except NotCheckpointed:
            if not left:
                raise
            pause()
        else:
            return known
    raise AssertionError("the last turn returns or raises")


def _check_own(job: RunningJob, known: list[State]) -> None:
    if not known or known[0].fingerprint != job.version:
        raise NotCheckpointed(
            f"job {job.job_id} of version {job.version} has made no checkpoint yet, so nobody can tell whether its "
            "state has a place in this version. Nothing was changed. Try again once it runs; where it never does, "
            "cancel it: then what it began with is gone on from"
        )


def _refuse_unfit(state: State, unfit: Collection[str], without: Collection[str]) -> None:
    unnamed = sorted(set(unfit) - set(without))
    if unnamed:
        command = "`python -m flink_jobs --config FILE upgrade"
        raise StateUnfit(
            f"{state.folder} holds what this version has no place for: {', '.join(unnamed)}. Nothing was changed. "
            f"To go on without that: {command} {' '.join(f'--without {name!r}' for name in sorted(unfit))}`; without "
            f"any state, at the offsets committed last: {command} --without-state`; or start the older version again"
        )


def _stop(cluster: Cluster, job: RunningJob, checkpoint_url: str) -> None:
    """With a savepoint; a job that can't make one is cancelled, and its last checkpoint is what there is."""
    try:
        cluster.stop(job.job_id, checkpoints.directory(checkpoint_url, job.version))
    except NotStopped:
        cluster.cancel(job.job_id)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """For one process at a time, which may end in any way."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def _made_with() -> list[Path]:
    return [*jars(), *_PLANNED_BY]


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)} ms"

"""Hands the job to a Flink cluster, from its last checkpoint."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from flink_jobs import checkpoints, client, plans
from flink_jobs.cluster import Cluster, RunningJob
from flink_jobs.job import PLANNING, compose
from flink_jobs.keeper import Submission, active_jobs
from flink_jobs.settings import Settings

_FOLDER: Final = Path(__file__).parent
_BUILT: Final = _FOLDER / "target"
#: A checkpoint that takes longer is given up. So many in a row may be, while Kafka is away, before the job restarts.
_CHECKPOINT_TIMEOUT_S: Final = 60
_TOLERATED_CHECKPOINTS: Final = 10


class JarsMissing(Exception):
    """Says how to get them."""


class AlreadyThere(Exception):
    """Names the job."""


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
    """Of the text without its addresses."""
    return compose(settings.kafka.anywhere()).fingerprint


def configuration(settings: Settings) -> dict[str, str]:
    """Flink's settings for the job."""
    host, _, port = settings.flink_address.rpartition(":")
    state = checkpoints.directory(settings.checkpoint_dir, fingerprint(settings))
    return {
        "rest.address": host,
        "rest.port": port,
        "pipeline.name": job_name(settings),
        "pipeline.jars": ";".join(jar.as_uri() for jar in jars()),
        "parallelism.default": str(settings.parallelism),
        # State is small per vehicle and constant, so it stays on the heap (RocksDB costs 40 % of the speed).
        "state.backend.type": "hashmap",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.dir": state.as_uri(),
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


def submit(settings: Settings) -> Submission:
    """Returns once the cluster has accepted the job, from its last checkpoint. Raises whatever Flink does.

    One at a time: a keeper that was killed may have left a submission on its way, and two jobs would be one too many.
    Raises AlreadyThere, ClusterUnreachable. What dead jobs and old texts left is removed.
    """
    with checkpoints.locked(settings.checkpoint_dir):
        _refuse_double(Cluster(settings.flink_address).jobs(), settings.name)
        state = checkpoints.directory(settings.checkpoint_dir, fingerprint(settings))
        checkpoints.remove_remains(state)
        plans.remove_old(settings.checkpoint_dir, checkpoints.remove_old(settings.checkpoint_dir, state.name))
        latest = checkpoints.latest(state)
        job, chosen = compose(settings.kafka), configuration(settings)
        made_with = [*jars(), *_FOLDER.glob("requirements.lock")]
        plan = plans.place(settings.checkpoint_dir, fingerprint(settings), str(job), chosen, made_with)
        job_id = client.hand_over(plan, job, chosen, jars(), latest)
    return Submission(job_id, str(latest) if latest else None)


def _refuse_double(jobs: Iterable[RunningJob], name: str) -> None:
    for job in active_jobs(jobs, name):
        raise AlreadyThere(f"job {job.job_id} is there already, called {job.name}")


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)} ms"

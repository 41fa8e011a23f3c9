"""Recomputes windows from all readings of them: a job in batch mode on the stream job's cluster, beside it.

Two at once would do no harm, only work: their transactions go by the same name, so the later one ends the other's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flink_jobs import batch
from flink_jobs.cluster import Cluster
from flink_jobs.history import History
from flink_jobs.job import PLANNING
from flink_jobs.keeper import active_jobs
from flink_jobs.metrics_sql import LONG_WINDOW_S
from flink_jobs.recompute_sql import compose_recompute
from flink_jobs.settings import Settings
from flink_jobs.submit import jars
from flink_jobs.timespans import MOST_SPAN_S, InvalidSpan, Span, merged, starts


class NotOutYet(Exception):
    """The stream hasn't closed any of these windows; names the first."""


class ClusterBusy(Exception):
    """A recompute is under way; names it."""


class NoFreeSlot(Exception):
    """The cluster has none for a recompute; names the mend."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """windows_mended: those that have a revision more. spans: what was recomputed, the rest is not out yet."""

    windows_mended: int
    spans: tuple[Span, ...]


def recompute(settings: Settings, spans: Sequence[Span], log: Callable[..., None]) -> Recomputed:
    """Returns when all is committed. What the stream hasn't closed is left out.

    Raises InvalidSpan, NotOutYet, HistoryGone, HistoryUnreachable, ClusterBusy, NoFreeSlot, ClusterUnreachable, and
    whatever Flink does.
    """
    _check_length(spans)
    history = History(settings.kafka_bootstrap, settings.kafka.apart().name)
    try:
        history.check_held(min(span.begin_s for span in spans))
        out = merged(closed(starts(spans), history.is_out))
        if not out:
            raise NotOutYet(f"the stream has not closed the windows from {spans[0]} yet; see its lag")
        _check_room(Cluster(settings.flink_address), settings.kafka.apart().name)
        log("recomputing", spans=[str(span) for span in out])
        end = history.metrics_end()
        batch.run_to_end(compose_recompute(settings.kafka, out), configuration(settings))
        return Recomputed(history.mended_since(end), tuple(out))
    finally:
        history.close()


def cancel(cluster: Cluster, settings: Settings) -> None:
    """What of it is under way: it doesn't end with the process that began it. Raises ClusterUnreachable."""
    for job in active_jobs(cluster.jobs(), settings.kafka.apart().name):
        cluster.cancel(job.job_id)


def closed(starts_s: Sequence[int], is_out: Callable[[int], bool]) -> list[int]:
    """Those of the long windows that are out: what ends before one that is, is too."""
    left = sorted(starts_s)
    while left and not is_out(left[-1] + LONG_WINDOW_S):
        left.pop()
    return left


def configuration(settings: Settings) -> dict[str, str]:
    """Flink's settings for the batch: one task after the other, each in the one slot that it takes."""
    host, _, port = settings.flink_address.rpartition(":")
    return {
        "execution.target": "remote",
        "rest.address": host,
        "rest.port": port,
        "pipeline.name": f"{settings.kafka.apart().name} batch",
        "pipeline.jars": ";".join(jar.as_uri() for jar in jars()),
        "parallelism.default": "1",
        "execution.batch-shuffle-mode": "ALL_EXCHANGES_BLOCKING",
        "restart-strategy.type": "none",
        **PLANNING,
    }


def _check_length(spans: Sequence[Span]) -> None:
    length_s = sum(span.end_s - span.begin_s for span in spans)
    if not 0 < length_s <= MOST_SPAN_S:
        raise InvalidSpan(f"{length_s / 3600:g} h are not within 0 to {MOST_SPAN_S // 3600:g} h; take them in parts")


def _check_room(cluster: Cluster, name: str) -> None:
    for job in active_jobs(cluster.jobs(), name):
        raise ClusterBusy(f"job {job.job_id}, a recompute, is under way; wait for its end or cancel it")
    if cluster.free_slots() < 1:
        raise NoFreeSlot("the Flink cluster has no free slot; give it one more than the stream job takes")

"""The recompute: what of it is out, what it asks of the cluster, and its text."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from flink_jobs import recompute
from flink_jobs.cluster import RunningJob
from flink_jobs.history import WindowRecord
from flink_jobs.metrics_sql import views
from flink_jobs.recompute import ClusterBusy, NoFreeSlot, closed
from flink_jobs.recompute_sql import compose_recompute
from flink_jobs.settings import Settings
from flink_jobs.tables_sql import Kafka
from flink_jobs.timespans import InvalidSpan, Span

KAFKA = Kafka("127.0.0.1:9092", "jobs", 5, 20)
SPANS = [Span(300, 900), Span(3_000, 3_300)]


@dataclass
class FakeCluster:
    slots: int = 1
    running: Sequence[RunningJob] = ()
    cancelled: list[str] = field(default_factory=list)

    def jobs(self) -> Sequence[RunningJob]:
        return self.running

    def free_slots(self) -> int:
        return self.slots

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


@pytest.mark.parametrize(
    ("out_until_s", "left"), [(0, []), (599, []), (600, [300]), (900, [300, 600]), (9_000, [300, 600, 3_000])]
)
def test_only_windows_that_are_out_are_recomputed(out_until_s: int, left: list[int]) -> None:
    assert closed([3_000, 300, 600], lambda end_s: end_s <= out_until_s) == left


@pytest.mark.parametrize(
    ("ce_id", "is_out"),
    [
        pytest.param(".600.300.1", True, id="the fleet's long one"),
        pytest.param(".900.300.1", True, id="a later one"),
        pytest.param(".300.300.1", False, id="an earlier one"),
        pytest.param(".600.300.2", False, id="a recompute's"),
        pytest.param(".840.60.1", False, id="the short one that ends with it"),
        pytest.param(".900.60.1", True, id="the next short one"),
        pytest.param("T-1.600.300.1", False, id="a vehicle's"),
    ],
)
def test_that_a_window_is_out_is_told_by_what_comes_after_it_and_from_the_stream(ce_id: str, is_out: bool) -> None:
    assert WindowRecord.of(ce_id).tells_that_it_is_out(900) is is_out


@pytest.mark.parametrize("ce_id", ["", "a.b.c", "T-1.600.300.x"])
def test_what_is_no_windows_id_is_refused(ce_id: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        WindowRecord.of(ce_id)


@pytest.mark.parametrize(
    ("cluster", "raises", "reason"),
    [
        pytest.param(FakeCluster(slots=0), NoFreeSlot, "no free slot", id="no slot"),
        pytest.param(
            FakeCluster(slots=0, running=[RunningJob("a1", "jobs-recompute batch", "RUNNING", 1, 1)]),
            ClusterBusy,
            "a1.*under way",
            id="one runs",
        ),
    ],
)
def test_it_begins_only_where_there_is_room(cluster: FakeCluster, raises: type[Exception], reason: str) -> None:
    with pytest.raises(raises, match=reason):
        recompute._check_room(cluster, "jobs-recompute")  # type: ignore[arg-type]


def test_neither_the_stream_nor_a_recompute_that_has_ended_is_in_its_way() -> None:
    running = [
        RunningJob("a1", "jobs 0123456789ab", "RUNNING", 1, 1),
        RunningJob("a2", "jobs-recompute batch", "FINISHED", 0, 1),
    ]
    recompute._check_room(FakeCluster(1, running), "jobs-recompute")  # type: ignore[arg-type]


def test_a_recompute_is_cancelled_by_its_name_and_nothing_else_is() -> None:
    settings = Settings("127.0.0.1:9092", "/data", name="jobs")
    running = [
        RunningJob("a1", "jobs 0123456789ab", "RUNNING", 1, 1),
        RunningJob("a2", "jobs-recompute batch", "FAILED", 0, 1),
        RunningJob("a3", "jobs-recompute batch", "RUNNING", 1, 1),
        RunningJob("a4", "others-recompute batch", "RUNNING", 1, 1),
    ]
    cluster = FakeCluster(1, running)
    recompute.cancel(cluster, settings)  # type: ignore[arg-type]
    assert cluster.cancelled == ["a3"]


@pytest.mark.parametrize("spans", [[], [Span(0, 86_700)], [Span(0, 43_500), Span(86_400, 129_600)]])
def test_an_unbounded_recompute_is_refused(spans: list[Span]) -> None:
    settings = Settings("127.0.0.1:9092", "/data")
    with pytest.raises(InvalidSpan, match="take them in parts"):
        recompute.recompute(settings, spans, print)


def test_it_has_the_windows_of_the_stream_word_for_word() -> None:
    declarations = compose_recompute(KAFKA, SPANS).declarations
    assert [declaration for declaration in declarations if declaration in views()] == views()


def test_it_reads_from_the_first_span_on_and_counts_the_readings_of_the_spans_alone() -> None:
    text = str(compose_recompute(KAFKA, SPANS))
    assert text.count("'scan.startup.timestamp-millis' = '300000'") == 2
    for begin, end in ((300_000, 900_000), (3_000_000, 3_300_000)):
        within = f"event_at >= TO_TIMESTAMP_LTZ({begin}, 3) AND event_at < TO_TIMESTAMP_LTZ({end}, 3)"
        assert text.count(within) == 1
    assert text.count("(starts_s >= 3000 AND starts_s < 3300)") == 1


def test_any_figure_that_differs_makes_a_revision_and_a_window_that_was_never_out_gets_two() -> None:
    text = str(compose_recompute(KAFKA, SPANS))
    assert text.count("IS DISTINCT FROM") == 10
    assert "w.reading_count IS DISTINCT FROM l.reading_count" in text
    assert "COALESCE(l.revision, 1) + 1 AS revision" in text

"""The mender with Kafka and recomputes that are made up."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from flink_jobs import mender as module
from flink_jobs import mending
from flink_jobs.apart import ApartFailed, ApartTimedOut
from flink_jobs.cluster import Cluster, ClusterUnreachable
from flink_jobs.keeper import GaveUp
from flink_jobs.mender import GONE, NOT_OUT_YET, Mender
from flink_jobs.mending import Mending
from flink_jobs.recompute import Recomputed
from flink_jobs.settings import Settings
from flink_jobs.timespans import InvalidSpan, Span, around

#: In the past of every monotonic clock.
LONG_AGO = -1e6
DONE = Recomputed(3, (Span(300, 600),))


@dataclass
class Record:
    told: bytes
    at: int

    def error(self) -> None:
        return None

    def value(self) -> bytes:
        return self.told

    def offset(self) -> int:
        return self.at


@dataclass
class FakeConsumer:
    commits: list[int] = field(default_factory=list)

    #: What Kafka answers about the topic and about where to begin, one after the other.
    topic_errors: list[KafkaError | None] = field(default_factory=lambda: [None])
    places: list[int | KafkaError] = field(default_factory=lambda: [OFFSET_INVALID])
    assigned: list[int] = field(default_factory=list)

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        assert timeout > 0
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self.topic_errors.pop(0))})

    def committed(self, places: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        answer = self.places.pop(0)
        if isinstance(answer, KafkaError):
            raise KafkaException(answer)
        return [TopicPartition(place.topic, place.partition, answer) for place in places]

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.assigned += [place.offset for place in places]

    def commit(self, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous is False
        self.commits += [place.offset for place in offsets]


@dataclass
class Recomputes:
    """``answers``: what they come to, one after the other; the last one stays."""

    answers: list[Recomputed | ApartFailed]
    asked: list[list[Span]] = field(default_factory=list)

    def __call__(self, spans: Sequence[Span]) -> Recomputed:
        self.asked.append(list(spans))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ApartFailed):
            raise answer
        return answer


@dataclass
class Rig:
    recomputes: Recomputes
    consumer: FakeConsumer = field(default_factory=FakeConsumer)
    said: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    job_runs: bool = True

    def __post_init__(self) -> None:
        def log(event: str, **_: object) -> None:
            self.said.append(event)

        self.mender = Mender(
            self.consumer,  # type: ignore[arg-type]
            Mending(10, 100),
            self.recomputes,
            log,
            self.ended,
            lambda: self.job_runs,
        )

    def announce(self, start_s: int, offset: int, now_s: float) -> None:
        told = json.dumps({"vehicle_id": "T-1", "window_start_s": start_s, "window_length_s": 300})
        self.mender.look(Record(told.encode(), offset), now_s)  # type: ignore[arg-type]


def test_windows_are_recomputed_once_it_is_quiet_and_their_offsets_committed_then() -> None:
    rig = Rig(Recomputes([DONE]))
    rig.announce(300, 4, LONG_AGO)
    assert (rig.recomputes.asked, rig.consumer.commits) == ([], [4])
    rig.mender.look(None, LONG_AGO + 10)
    assert rig.recomputes.asked == [[Span(300, 600)]]
    assert (rig.consumer.commits, rig.mender.mending.windows_mended) == ([4, 5], 3)


def test_beside_another_version_nothing_is_mended_and_nothing_is_forgotten() -> None:
    rig = Rig(Recomputes([DONE]), job_runs=False)
    rig.announce(300, 4, LONG_AGO)
    rig.mender.look(None, LONG_AGO + 10)
    assert (rig.recomputes.asked, rig.consumer.commits) == ([], [])
    rig.job_runs = True
    rig.mender.look(None, LONG_AGO + 10)
    assert (rig.recomputes.asked, rig.consumer.commits) == ([[Span(300, 600)]], [5])


def test_what_failed_is_not_committed_and_tried_again_by_whoever_comes_next() -> None:
    rig = Rig(Recomputes([ApartFailed(1, "no Kafka"), DONE]))
    rig.announce(300, 4, LONG_AGO)
    rig.mender.look(None, LONG_AGO + 10)
    assert (rig.consumer.commits, rig.said, rig.mender.mending.failures) == ([4], ["recompute failed"], 1)


def test_what_is_not_out_yet_is_no_failure() -> None:
    rig = Rig(Recomputes([ApartFailed(NOT_OUT_YET, "not out")]))
    rig.announce(300, 4, LONG_AGO)
    rig.mender.look(None, LONG_AGO + 10)
    assert (rig.consumer.commits, rig.said, rig.mender.mending.failures) == ([4], ["recompute postponed"], 0)


def of_settings(log: Callable[..., None] = lambda *_, **__: None) -> Mender:
    return Mender.of(Settings("127.0.0.1:1", "/data"), Path("x.toml"), threading.Event(), log, lambda: True)


@pytest.mark.parametrize(
    ("now_s", "words"),
    [
        pytest.param(1_200, ["--from", "300", "--to", "1200"], id="all are over"),
        pytest.param(1_199, ["--from", "300", "--to", "900"], id="the last one is under way"),
        pytest.param(600, ["--from", "300", "--to", "600"], id="the first one has just ended"),
    ],
)
def test_a_recompute_is_asked_for_windows_that_are_over(
    monkeypatch: pytest.MonkeyPatch, now_s: float, words: list[str]
) -> None:
    asked: list[list[str]] = []

    def run_apart(_: Path, arguments: list[str], *__: object) -> str:
        asked.append(arguments)
        return json.dumps(asdict(DONE))

    monkeypatch.setattr(module, "run_apart", run_apart)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now_s))
    assert of_settings()._recompute([Span(300, 1_200)]) == DONE
    assert asked == [["recompute", *words]]


def test_windows_that_are_under_way_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 599.0))
    with pytest.raises(ApartFailed, match=r"1970-01-01T00:05:00Z.*not over") as raised:
        of_settings()._recompute([Span(300, 1_200)])
    assert raised.value.code == NOT_OUT_YET


def test_a_vehicle_that_is_always_late_by_minutes_holds_no_window_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a window that is under way is announced too, mostly, when a recompute is due."""
    now_s, late_s, begin_s = 0.0, 120, 1_764_504_040

    def run_apart(_: Path, arguments: list[str], *__: object) -> str:
        nonlocal now_s
        try:
            pairs = zip(arguments[2::4], arguments[4::4], strict=True)
            spans = [around(begin, end, begin_s + now_s) for begin, end in pairs]
        except InvalidSpan as error:
            raise ApartFailed(2, str(error)) from error
        now_s += 15
        return json.dumps(asdict(Recomputed(1, tuple(spans))))

    clock = SimpleNamespace(time=lambda: begin_s + now_s, monotonic=lambda: now_s)
    monkeypatch.setattr(module, "run_apart", run_apart)
    monkeypatch.setattr(module, "time", clock)
    rig = Rig(Recomputes([DONE]))
    rig.mender._recompute, rig.mender.mending = of_settings()._recompute, Mending(60, 600)
    offset, most_waiting = 0, 0
    while now_s < 6 * 3_600:
        rig.announce(int(begin_s + now_s - late_s) // 300 * 300, offset, now_s)
        most_waiting = max(most_waiting, len(rig.mender.mending._pending))
        offset, now_s = offset + 1, now_s + 10
    assert (rig.mender.mending.failures, most_waiting) == (0, 4)


@pytest.mark.parametrize(
    ("failure", "cancelled"),
    [(ApartTimedOut(-9), ["127.0.0.1:8081"]), (ApartFailed(1), [])],
    ids=["it took too long", "it ended by itself"],
)
@pytest.mark.parametrize("away", [False, True], ids=["there", "away"])
def test_one_that_takes_too_long_is_cancelled_on_the_cluster_too(
    monkeypatch: pytest.MonkeyPatch, failure: ApartFailed, cancelled: list[str], away: bool
) -> None:
    asked: list[str] = []

    def run_apart(*_: object) -> str:
        raise failure

    def cancel(cluster: Cluster, _: Settings) -> None:
        asked.append(cluster.address)
        if away:
            raise ClusterUnreachable("refused")

    monkeypatch.setattr(module, "run_apart", run_apart)
    monkeypatch.setattr(module, "cancel", cancel)
    said: list[str] = []
    mender = of_settings(lambda event, **_: said.append(event))
    with pytest.raises(ApartFailed) as raised:
        mender._recompute([Span(300, 600)])
    assert (raised.value, asked) == (failure, cancelled)
    assert said == (["recompute not cancelled"] if away and cancelled else [])


def test_what_is_gone_is_given_up_at_once_and_loudly() -> None:
    rig = Rig(Recomputes([ApartFailed(GONE, said='{"reason": "deleted", "since_s": 700}'), DONE]))
    for offset, start_s in enumerate((300, 600, 900), 4):
        rig.announce(start_s, offset, LONG_AGO)
    rig.mender.look(None, LONG_AGO + 10)
    assert (rig.consumer.commits, rig.said, rig.mender.mending.windows_given_up) == ([4, 6], ["windows given up"], 2)
    rig.mender.look(None, LONG_AGO + 10)
    assert rig.recomputes.asked[1:] == [[Span(900, 1_200)]]


def test_more_windows_than_are_kept_are_given_up_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "MOST_PENDING", 2)
    rig = Rig(Recomputes([DONE]))
    for offset, start_s in enumerate((600, 300, 900), 4):
        rig.announce(start_s, offset, LONG_AGO)
    assert (rig.said, rig.mender.mending.windows_given_up) == (["windows given up"], 1)


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"7",
        b"{}",
        b'{"window_start_s": "x"}',
        b'{"window_start_s": 7}',
        b"\xff",
        b'{"window_start_s": 3e300}',
        b'{"window_start_s": Infinity}',
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_announcement_is_told_of_and_passed_over(told: bytes) -> None:
    rig = Rig(Recomputes([DONE]))
    rig.mender.look(Record(told, 4), LONG_AGO)  # type: ignore[arg-type]
    rig.announce(300, 5, LONG_AGO)
    rig.mender.look(None, LONG_AGO + 10)
    assert (rig.said, rig.consumer.commits[-1]) == (["no late window", "recomputed"], 6)


@pytest.mark.parametrize(("place", "begins"), [(OFFSET_INVALID, OFFSET_BEGINNING), (7, 7)])
def test_it_begins_where_the_one_before_was_once_kafka_can_tell(place: int, begins: int) -> None:
    made = Rig(Recomputes([DONE]))
    unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    made.consumer.topic_errors = [unknown, None, None]
    made.consumer.places = [place, KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS), place]
    assert [made.mender.begin() for _ in range(3)] == [False, False, True]
    assert made.said == ["late windows not read yet"] * 2
    assert made.consumer.assigned == [begins]


def test_kafka_is_told_once_a_day_where_it_has_come_to_though_nothing_was_late() -> None:
    rig = Rig(Recomputes([DONE]))
    rig.consumer.places = [7]
    assert rig.mender.begin()
    for hour in range(50):
        rig.mender.look(None, LONG_AGO + hour * 3_600)
    assert rig.consumer.commits == [7, 7, 7]


def test_a_place_that_nobody_has_committed_is_not_committed_either() -> None:
    rig = Rig(Recomputes([DONE]))
    assert rig.mender.begin()
    rig.mender.look(None, LONG_AGO)
    assert rig.consumer.commits == []


def test_what_kafka_says_instead_of_a_record_is_told_unless_it_is_the_end_of_the_topic() -> None:
    made = Rig(Recomputes([DONE]))
    for code in (KafkaError._PARTITION_EOF, KafkaError.TOPIC_AUTHORIZATION_FAILED):
        made.mender.look(SimpleNamespace(error=lambda code=code: KafkaError(code)), 0.0)  # type: ignore[arg-type]
    assert made.said == ["late windows not read"]


def test_a_mender_that_has_ended_by_itself_ends_its_keeper() -> None:
    rig = Rig(Recomputes([DONE]))
    with pytest.raises(GaveUp):
        rig.mender.check()
    rig.ended.set()
    rig.mender.check()

"""All rules and both windows in one real job on a real Flink, with bad records in between, and killed underneath."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.alert_pb2 import Alert
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import Reading, StatusChange

from deploy.local.tools import CHECKOUT
from flink_jobs.rules import RULES
from pitwall.kafka_topics import REGISTRY, STATUS_CHANGE, TELEMETRY, Topic
from tests.integration.stream_job import (
    RECORDS_WITHIN_S,
    STARTS_WITHIN_S,
    StreamJob,
    await_until,
    get,
    stream_job,
)
from tests.integration.stream_stories import STORIES, fleet_of_chance, link_story, point_stories
from tests.integration.stream_sweeps import (
    BEGIN_S,
    CLEARED,
    EXPECTED_STEPS,
    FIRST_BOOT,
    RAISED,
    SECOND_BOOT,
    SWEEPS,
    THIRD_BOOT,
    WHEELS,
    alerts_of,
    check_step,
    raised_by,
    reading,
    steps_of,
    story,
)
from tests.integration.stream_versions import LOWER_SPEED, version
from tests.integration.stream_windows import (
    Window,
    assert_all_right,
    assert_same,
    fleet,
    poison,
    recomputed,
    shuffle,
    windows_in,
)
from tests.support.alert_judge import Step, judged, step_of

#: The longest waits for two recomputes, and for one by hand.
pytestmark = pytest.mark.timeout(600)

#: The new version is planned, and the old one stopped with a savepoint, before it starts.
UPGRADED_WITHIN_S = 2 * STARTS_WITHIN_S

WINDOWS_BEGIN_S = BEGIN_S + 1_200
KILL_BEGIN_S = BEGIN_S + 3_600
UPGRADE_BEGIN_S = BEGIN_S + 5_400
#: Longer than a busy machine stops reading one partition while it reads another.
IDLE_TIMEOUT_S = 8.0
PATIENCE_S = 2.0
#: The least: announcements speak for readings that come for so long after them.
MEND_QUIET_S = 10.0
#: One of what was late before may just have begun; what comes then is for the next one. Each is planned and started.
RECOMPUTED_WITHIN_S = 2 * STARTS_WITHIN_S
SEED = int(os.environ.get("PITWALL_TEST_SEED", "1"))


@pytest.fixture(scope="module")
def job() -> Iterator[StreamJob]:
    with stream_job(idle_timeout_s=IDLE_TIMEOUT_S, patience_s=PATIENCE_S, mend_quiet_s=MEND_QUIET_S) as running:
        yield running


def test_every_rule_raises_and_clears_at_its_limits_and_by_nothing_else(job: StreamJob) -> None:
    job.register(sweep.entry for sweep in SWEEPS if sweep.entry is not None)
    stories = [story(sweep) for sweep in SWEEPS]
    for step in zip(*stories, strict=True):
        for made in step:
            job.send(made)
    job.flush()
    wanted = len(SWEEPS) * len(EXPECTED_STEPS)
    records = job.tail("vehicle-alerts").until("all steps", lambda r: _count(r, b"SWEEP") >= wanted)
    for sweep, readings in zip(SWEEPS, stories, strict=True):
        alerts = alerts_of(records, sweep.vehicle_id)
        in_lanes = sorted(alerts, key=lambda a: a.backfilled)
        found = [(a.backfilled, a.state, raised_by(a), a.boot_epoch, a.sequence) for a in in_lanes]
        assert found == EXPECTED_STEPS, sweep
        times = {(r.boot_epoch, r.sequence): r.event_time for r in readings}
        for alert in alerts:
            check_step(sweep, alert, times)
    assert _count(records, b"SWEEP") == wanted


def test_every_story_of_holding_rising_and_braking_has_its_steps(job: StreamJob) -> None:
    stories = [*STORIES, *point_stories()]
    readings, entries = [r for s in stories for r in s.readings], [e for s in stories for e in s.entries]
    job.register(entries)
    for made in readings:
        job.send(made)
    expected = judged(readings, entries)
    assert sorted(_found(job, b"STORY", expected)) == sorted(expected)


def test_chance_finds_no_vehicle_that_is_judged_otherwise_than_by_the_plain_definition(job: StreamJob) -> None:
    fleet = fleet_of_chance(SEED, vehicles=40, readings=60)
    job.register(fleet.entries)
    for made in fleet.told:
        job.send(made)
    expected = judged(fleet.told, fleet.entries)
    found = _found(job, b"CHANCE", expected)
    assert {step.alert_id.split(".")[1] for step in expected} >= {r.name for r in RULES} - {"HOT_COOLANT", "LINK_LOST"}
    assert sorted(found) == sorted(expected), f"run again with PITWALL_TEST_SEED={SEED}"


def test_news_of_the_link_raise_and_clear_by_the_newest_session(job: StreamJob) -> None:
    changes = link_story("LINK-001")
    for change in changes:
        job.send_raw(b"LINK-001", change.SerializeToString(), topic=STATUS_CHANGE)
    expected = judged(changes, [])
    assert _found(job, b"LINK-001", expected) == expected


def _found(job: StreamJob, prefix: bytes, expected: Sequence[Step]) -> list[Step]:
    """The steps in Kafka. One that comes late, of a vehicle that has all of its own already, would be one too many."""
    end = b"END-" + prefix
    job.send(reading(end.decode(), int(time.time()), BEGIN_S, {"speed_kph": 99.0}))
    job.flush()
    tail = job.tail("vehicle-alerts")
    records = tail.until("all steps", lambda r: _count(r, prefix) >= len(expected) and _count(r, end) > 0)
    return [step_of(Alert.FromString(r.value() or b"")) for r in records if (r.key() or b"").startswith(prefix)]


def _count(records: list[Message], prefix: bytes) -> int:
    return sum((record.key() or b"").startswith(prefix) for record in records)


def test_an_alert_carries_the_headers_of_a_cloud_event(job: StreamJob) -> None:
    job.send(reading("HEADERS-001", 1, BEGIN_S + 150.5, {"speed_kph": 70.0}))
    job.flush()
    tail = job.tail("vehicle-alerts")
    records = tail.until("the alert", lambda r: any(m.key() == b"HEADERS-001" for m in r))
    record = next(m for m in records if m.key() == b"HEADERS-001")
    headers = dict(record.headers() or [])
    assert headers["ce_type"] == b"haul.telemetry.v1.Alert"
    assert headers["ce_id"] == f"HEADERS-001.HIGH_SPEED.{FIRST_BOOT}.1.RAISED".encode()
    assert headers["ce_source"] == b"flink_jobs"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN_S + 150))
    assert headers["ce_time"] == f"{stamp}.500Z".encode()
    assert headers["content-type"] == b"application/protobuf"


def test_a_missing_wheel_raises_nothing_and_clears_nothing(job: StreamJob) -> None:
    known = {f"tire_pressure_{wheel}_psi": 100.0 for wheel in WHEELS[1:]}
    hot = {f"tire_pressure_{wheel}_psi": 125.0 for wheel in WHEELS[2:]}
    nothing: dict[str, float] = {}
    whole = {**known, "tire_pressure_front_left_psi": 100.0}
    for sequence, fields in enumerate([known, nothing, hot, known, nothing, whole], 1):
        job.send(reading("WHEELS-001", sequence, BEGIN_S + 160 + sequence, fields))
    job.flush()
    tail = job.tail("vehicle-alerts")
    records = tail.until("both steps", lambda r: len(alerts_of(r, "WHEELS-001")) >= 2)
    assert [(a.state, a.sequence, a.value) for a in alerts_of(records, "WHEELS-001")] == [
        (RAISED, 3, 125.0),
        (CLEARED, 6, 100.0),
    ]


def test_an_absurd_value_raises_as_any_other(job: StreamJob) -> None:
    job.send(reading("ABSURD-001", 1, BEGIN_S + 170, {"speed_kph": 1e300}))
    job.flush()
    records = job.tail("vehicle-alerts").until("the alert", lambda r: bool(alerts_of(r, "ABSURD-001")))
    (alert,) = alerts_of(records, "ABSURD-001")
    assert (alert.state, alert.value) == (RAISED, 1e300)


def test_a_vehicle_that_was_deleted_and_is_back_raises_anew(job: StreamJob) -> None:
    fast_and_heavy = {"speed_kph": 70.0, "payload_tons": 150.0}
    job.register([RegistryEntry(vehicle_id="BACK-001", rated_payload_tons=100)])
    job.send(reading("BACK-001", 1, BEGIN_S + 180, fast_and_heavy))
    job.flush()
    tail = job.tail("vehicle-alerts")
    tail.until("both alerts", lambda r: len(alerts_of(r, "BACK-001")) >= 2)
    job.send_raw(b"BACK-001", None, topic=REGISTRY)
    job.register([])
    for sequence, fields in enumerate((fast_and_heavy, {"speed_kph": 10.0}), 2):
        job.send(reading("BACK-001", sequence, BEGIN_S + 120 + 60 * sequence, fields))
    job.flush()
    records = tail.until("it is cleared", lambda r: any(a.state == CLEARED for a in alerts_of(r, "BACK-001")))
    steps = [(a.rule, a.state, raised_by(a)) for a in alerts_of(records, "BACK-001")]
    assert sorted(steps[:2]) == [("HIGH_SPEED", RAISED, 1), ("PAYLOAD_OVERLOAD", RAISED, 1)]
    assert steps[2:] == [("HIGH_SPEED", RAISED, 2), ("HIGH_SPEED", CLEARED, 2)]


def test_windows_are_exact_beside_repeats_silence_an_empty_partition_and_a_thousand_bad_records(job: StreamJob) -> None:
    assert job.flink_metric("deserializer_undecodable") == 0
    readings, bad = fleet(1, WINDOWS_BEGIN_S, 620, FIRST_BOOT), poison(2, 1_000)
    shuffled = shuffle(readings)
    for number, each in enumerate(shuffled):
        partition = int(each.vehicle_id[-1]) % 2  # nothing at all into partition 2
        job.send(each, partition)
        if number % 3 == 0:
            job.send(each, partition)
        if number >= len(shuffled) // 2 and bad:
            job.send_raw(b"POISON", bad.pop(), len(bad) % 2)
    assert not bad
    job.flush()
    expected = {k: w for k, w in recomputed(readings).items() if k[1] + k[2] <= WINDOWS_BEGIN_S + 600}
    tail = job.tail("vehicle-metrics")
    records = tail.until("all windows", lambda r: {k for k, _ in windows_in(r, "WINDOW")} >= set(expected))
    found = windows_in(records, "WINDOW")
    assert len(found) == len(expected) == len(dict(found))
    for key, window in found:
        assert_same(window, expected[key])
    letters = job.tail("dead-letter-topic").until("all bad records", lambda r: len(r) >= 1_000)
    assert sorted(m.value() or b"" for m in letters) == sorted(poison(2, 1_000))
    assert len({dict(m.headers() or [])["dl_where"] for m in letters}) == 1_000
    assert {dict(m.headers() or [])["dl_reason"] for m in letters} == {b"NOT_PROTOBUF", b"MISSING", b"OUT_OF_RANGE"}
    assert job.failures() == []
    assert job.flink_metric("deserializer_undecodable") == 1_000
    assert not alerts_of(job.tail("vehicle-alerts").records, "POISON-001")


def test_bad_records_about_the_registry_and_the_link_are_kept_and_tombstones_are_none(job: StreamJob) -> None:
    entries = [b"\xff\xff", RegistryEntry(model="930E-5").SerializeToString()]
    entries.append(RegistryEntry(vehicle_id="BAD-1", max_speed_kph=float("inf")).SerializeToString())
    changes = [b"\x0a", StatusChange(vehicle_id="BAD-1").SerializeToString(), None]
    for entry in (*entries, None):
        job.send_raw(b"BAD-1", entry, topic=REGISTRY)
    job.flush()
    large = b"\xff" * 3_000_000  # the broker takes it because it is small when compressed
    packed = Producer(
        {"bootstrap.servers": job.bootstrap, "message.max.bytes": 2 * len(large), "compression.type": "lz4"}
    )
    packed.produce(REGISTRY.name, large, b"BAD-1")
    packed.produce(REGISTRY.name, large, b"K" * 200_000)
    assert packed.flush(30) == 0
    packed.close()
    nobodys = reading("L" * 350_000, 1, WINDOWS_BEGIN_S, {"speed_kph": 99.0}).SerializeToString()
    job.send_raw(b"L" * 350_000, nobodys)
    for change in changes:
        job.send_raw(b"BAD-1", change, topic=STATUS_CHANGE)
    job.register([])
    letters = job.tail("dead-letter-topic").until(
        "all bad records",
        lambda r: len(_letters(r, REGISTRY)) >= 5 and len(_letters(r, STATUS_CHANGE)) >= 3 and len(_letters(r)) == 1,
    )
    *of_one, of_nobody = _letters(letters, REGISTRY)
    assert of_one == [(value, b"BAD-1") for value in (*entries, large[:900_000])]
    assert of_nobody == (large[:900_000], None)
    assert _letters(letters) == [(nobodys, None)]
    said = [str(dict(letter.headers() or [])["dl_message"]) for letter in letters]
    assert len([words for words in said if "; the first 900000 of 3000000 bytes" in words]) == 2
    assert _letters(letters, STATUS_CHANGE) == [(value or b"", b"BAD-1") for value in changes]
    assert job.failures() == []


def _letters(records: list[Message], topic: Topic | None = None) -> list[tuple[bytes, bytes | None]]:
    """Value and key of those from a topic of one partition, or of the readings that belong to nobody."""
    if topic is None:
        found = [r for r in records if len(r.value() or b"") > 300_000 and "'vehicle-telemetry:" in _where(r)]
    else:
        found = [r for r in records if f"'{topic.name}:0:" in _where(r)]
    return [(r.value() or b"", r.key()) for r in found]


def _where(letter: Message) -> str:
    return str(dict(letter.headers() or [])["dl_where"])


def test_after_a_killed_job_manager_alerts_and_windows_go_on_where_they_were(job: StreamJob) -> None:
    readings = fleet(3, KILL_BEGIN_S, 70, SECOND_BOOT)
    before, after = readings[:150], readings[150:]
    for each in before:
        job.send(each)
    job.send(reading("SURVIVOR-1", 1, KILL_BEGIN_S, {"speed_kph": 99.0}))
    job.flush()
    alerts = job.tail("vehicle-alerts")
    alerts.until("it is raised", lambda r: bool(alerts_of(r, "SURVIVOR-1")))
    job.await_checkpoint()
    submissions = job.submissions()
    job.stack.kill("flink-jobmanager")
    await_until("the job is submitted again", lambda: job.submissions() > submissions, STARTS_WITHIN_S, job.told)
    job.await_running()
    for each in [*before[-20:], *after]:
        job.send(each)
    job.send(reading("SURVIVOR-1", 2, KILL_BEGIN_S + 60, {"speed_kph": 12.0}))
    job.flush()
    records = alerts.until("it is cleared", lambda r: CLEARED in {a.state for a in alerts_of(r, "SURVIVOR-1")})
    raised, cleared = steps_of(records, "SURVIVOR-1")
    assert (raised.alert_id, RAISED, CLEARED) == (cleared.alert_id, raised.state, cleared.state)
    assert cleared.raised_time == raised.raised_time
    minute = (KILL_BEGIN_S, 60)
    expected = {k: w for k, w in recomputed(readings).items() if k[1:] == minute}

    def minutes(records: list[Message]) -> list[tuple[Window, VehicleMetrics]]:
        return [(k, w) for k, w in windows_in(records, "WINDOW") if k[1:] == minute]

    records = job.tail("vehicle-metrics").until("all windows", lambda r: {k for k, _ in minutes(r)} >= set(expected))
    assert len(minutes(records)) == len(expected)
    for key, window in minutes(records):
        assert_same(window, expected[key])


@pytest.mark.chaos
def test_another_table_of_rules_goes_on_with_the_state_of_the_one_before_it(job: StreamJob, tmp_path: Path) -> None:
    readings, upgraded = fleet(5, UPGRADE_BEGIN_S, 150, THIRD_BOOT), Event()
    job.send(reading("UPGRADE-1", 1, UPGRADE_BEGIN_S, {"speed_kph": 99.0}))
    job.flush()
    alerts, windows = job.tail("vehicle-alerts"), job.tail("vehicle-metrics")
    alerts.until("it is raised", lambda r: bool(alerts_of(r, "UPGRADE-1")))
    before, submissions = job.version(), 1
    traffic = Thread(target=_send_until, args=(job, readings, upgraded))
    traffic.start()
    try:
        job.deploy(version(tmp_path, "lower", rules=LOWER_SPEED))
        await_until("it is replaced", lambda: job.version() not in ("", before), UPGRADED_WITHIN_S, job.told)
        job.await_running()
    finally:
        upgraded.set()
        traffic.join()
    assert job.submissions() == submissions
    for sequence, speed_kph in enumerate((55.0, 47.0, 44.0), 2):
        job.send(reading("UPGRADE-1", sequence, UPGRADE_BEGIN_S + 150, {"speed_kph": speed_kph}))
    job.send(reading("UPGRADE-2", 1, UPGRADE_BEGIN_S + 150, {"speed_kph": 50.1}))
    job.flush()
    records = alerts.until("by the new limit", lambda r: bool(alerts_of(r, "UPGRADE-2")))
    records = alerts.until("it is cleared", lambda r: len(alerts_of(r, "UPGRADE-1")) >= 2)
    assert [(a.state, raised_by(a), a.sequence) for a in alerts_of(records, "UPGRADE-1")] == [
        (RAISED, 1, 1),
        (CLEARED, 1, 4),
    ]
    expected = {k: w for k, w in recomputed(readings).items() if k[1:] in _minutes(UPGRADE_BEGIN_S, 2)}

    def minutes(records: list[Message]) -> list[tuple[Window, VehicleMetrics]]:
        return [(k, w) for k, w in windows_in(records, "WINDOW") if k[1:] in _minutes(UPGRADE_BEGIN_S, 2)]

    records = windows.until("all windows", lambda r: {k for k, _ in minutes(r)} >= set(expected))
    assert len(minutes(records)) == len(expected)
    for key, window in minutes(records):
        assert_same(window, expected[key])


def test_what_several_bring_one_after_the_other_after_a_gap_is_in_its_windows(job: StreamJob) -> None:
    begin_s = int(time.time()) // 60 * 60 - 300
    one, other = ([_cruising(n, begin_s + second) for second in range(110)] for n in ("ONE", "OTHER"))
    job.send_all(one, partition=0)
    _await_time(job, begin_s + 110)
    job.send_all(other, partition=0)

    def while_time_goes_on(records: list[Message]) -> bool:
        """In the last partition there is nobody but one that brings what was 20 minutes ago. It holds nobody back."""
        for partition in range(TELEMETRY.partitions):
            is_late = partition == TELEMETRY.partitions - 1
            job.send(_cruising(f"NOW-{partition}", int(time.time()) - (1_200 if is_late else 0)), partition)
        return {key for key, _ in windows_in(records, "GAP-O")} >= set(expected)

    expected = {k: w for k, w in recomputed([*one, *other]).items() if k[2] == 60}
    records = job.tail("vehicle-metrics").until("all windows", while_time_goes_on)
    found = [(key, window) for key, window in windows_in(records, "GAP-O") if key in expected]
    assert len(found) == len(expected)
    for key, window in found:
        assert_same(window, expected[key])


def _await_time(job: StreamJob, at_s: int) -> None:
    """All partitions have been read up to there, and windows have had the time to close."""
    vehicles = [f"GAP-READ-{partition}" for partition in range(TELEMETRY.partitions)]
    for partition, vehicle in enumerate(vehicles):
        job.send(reading(vehicle, 1, at_s, {"speed_kph": 99.0}), partition)
    job.flush()
    job.tail("vehicle-alerts").until("it is read", lambda r: all(alerts_of(r, vehicle) for vehicle in vehicles))
    job.await_checkpoint()


@pytest.mark.chaos
def test_late_readings_come_as_a_second_revision_by_themselves_and_all_windows_are_right_then(job: StreamJob) -> None:
    before, begin_s = job.flink_metric("numLateRecordsDropped"), BEGIN_S - 600
    late = [reading("LATE-001", n, begin_s + 40 + n, {"speed_kph": 50 + n / 7}) for n in range(1, 41)]
    job.send_all(late, 0)
    expected = recomputed(late)
    tail = job.tail("vehicle-metrics")
    found = tail.until(
        "the late windows", lambda r: {k for k, _ in windows_in(r, "LATE-")} >= set(expected), RECOMPUTED_WITHIN_S
    )
    assert {(key, window.revision) for key, window in windows_in(found, "LATE-")} == {(key, 2) for key in expected}
    assert job.flink_metric("numLateRecordsDropped") > before
    await_until(
        "the keeper has counted them",
        lambda: job.keeper_metric("mended_windows_total") >= len(expected),
        RECORDS_WITHIN_S,
        job.told,
    )
    code, answer = _recomputed(job, begin_s)
    assert code == 0, answer
    spans: object = answer["spans"]
    assert isinstance(spans, list)
    assert spans[0]["begin_s"] == begin_s
    for span in spans:
        windows = assert_all_right(job.bootstrap, span["begin_s"], span["end_s"])
        assert any(not vehicle_id for vehicle_id, _, _ in windows), "the fleet's are among them"
        late_ones = {window.revision for key, window in windows.items() if key[0] == "LATE-001"}
        assert late_ones <= {2}, "a second recompute of the same readings writes nothing"


def _recomputed(job: StreamJob, begin_s: int) -> tuple[int, dict[str, object]]:
    """By hand, from then to now, once none of the keeper's own is under way."""
    answers: list[tuple[int, dict[str, object]]] = []

    def not_refused() -> bool:
        answers.append(job.recompute(begin_s, int(time.time())))
        return "is under way" not in str(answers[-1][1].get("reason"))

    await_until("no other recompute is under way", not_refused, RECOMPUTED_WITHIN_S, job.told)
    return answers[-1]


def test_a_recompute_that_could_not_be_right_is_refused(job: StreamJob) -> None:
    now_s = int(time.time())
    code, answer = job.recompute(now_s - 1, now_s)
    assert (code, "has not closed" in str(answer["reason"])) == (75, True), "the stream's own is still to come"
    places = [TopicPartition(TELEMETRY.name, 0, 1)]
    admin = AdminClient({"bootstrap.servers": job.bootstrap})
    (deleted,) = admin.delete_records(places).values()
    assert deleted.result(RECORDS_WITHIN_S).low_watermark == 1
    code, answer = job.recompute(BEGIN_S, BEGIN_S + 300)
    assert (code, "begin later" in str(answer["reason"])) == (65, True), "its readings are no longer all there"


@pytest.mark.chaos
def test_state_that_has_no_place_any_more_is_named_and_goes_only_when_people_say_so(
    job: StreamJob, tmp_path: Path
) -> None:
    job.send(reading("UPGRADE-3", 1, UPGRADE_BEGIN_S + 200, {"speed_kph": 99.0}))
    job.flush()
    alerts = job.tail("vehicle-alerts")
    alerts.until("it is raised", lambda r: bool(alerts_of(r, "UPGRADE-3")))
    job.await_checkpoint()
    code, before = version(tmp_path, "fewer", rules=LOWER_SPEED, without_figures="payload_tons"), job.job_ids()
    older = job.version()
    refused = job.run_by_hand(code, "upgrade")
    assert refused.returncode == 65, refused.stdout + refused.stderr
    reason = json.loads(refused.stdout.splitlines()[-1])["reason"]
    lost = [f"windows of {minutes} min {of}" for minutes in (1, 5) for of in ("by vehicle_id", "of all")]
    named = reason.partition("has no place for: ")[2].partition(". Nothing was changed")[0].split(", ")
    assert lost[0] in named
    assert set(named) <= set(lost)
    assert job.job_ids() == before
    losing = [word for name in lost for word in ("--without", name)]
    done = job.run_by_hand(code, "upgrade", *losing)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["replaced"] in before

    def leaves_it_alone() -> bool:
        """The older version's keeper, which is still there."""
        return f"has replaced {older}: end this process".encode() in get(job.metrics_address, "/healthz")[1]

    await_until("its keeper has looked", leaves_it_alone, STARTS_WITHIN_S, job.told)
    job.send(reading("UPGRADE-3", 2, UPGRADE_BEGIN_S + 260, {"speed_kph": 10.0}))
    job.flush()
    records = alerts.until("it is cleared", lambda r: len(alerts_of(r, "UPGRADE-3")) >= 2)
    assert [(a.state, raised_by(a)) for a in alerts_of(records, "UPGRADE-3")] == [(RAISED, 1), (CLEARED, 1)]
    job.await_checkpoint()
    assert leaves_it_alone()
    assert job.version() not in ("", older)
    back = job.run_by_hand(job.code, "upgrade", *losing)
    assert back.returncode == 0, back.stdout + back.stderr
    job.await_running()
    assert job.version() == older


@pytest.mark.chaos
def test_a_version_that_fails_is_given_up_loudly_and_the_one_before_goes_on_from_its_state(
    job: StreamJob, tmp_path: Path
) -> None:
    job.send(reading("UPGRADE-4", 1, UPGRADE_BEGIN_S + 300, {"speed_kph": 99.0}))
    job.flush()
    alerts, before = job.tail("vehicle-alerts"), job.version()
    alerts.until("it is raised", lambda r: bool(alerts_of(r, "UPGRADE-4")))
    job.deploy(version(tmp_path, "failing", failing_on="FAIL-1"))
    await_until("it is replaced", lambda: job.version() not in ("", before), STARTS_WITHIN_S, job.told)
    job.await_running()
    job.send(reading("FAIL-1", 1, UPGRADE_BEGIN_S + 301, {"speed_kph": 1.0}))
    job.flush()
    assert job.keeper.wait(STARTS_WITHIN_S) == 1
    last = job.log()[-1]
    assert last["event"] == "given up"
    assert "Flink gave up job" in str(last["reason"])
    assert "/ by zero" in str(last["reason"])
    job.deploy(CHECKOUT)
    job.await_running()
    job.send(reading("UPGRADE-4", 2, UPGRADE_BEGIN_S + 360, {"speed_kph": 10.0}))
    job.flush()
    records = alerts.until("it is cleared", lambda r: len(steps_of(r, "UPGRADE-4")) >= 2)
    assert [(a.state, raised_by(a)) for a in steps_of(records, "UPGRADE-4")] == [(RAISED, 1), (CLEARED, 1)]


def _send_until(job: StreamJob, readings: list[Reading], done: Event) -> None:
    """One after the other until it is done, and then the rest."""
    for each in readings:
        job.send(each)
        done.wait(0.05)
    job.flush()


def _minutes(begin_s: int, count: int) -> list[tuple[int, int]]:
    return [(begin_s + 60 * minute, 60) for minute in range(count)]


def _cruising(name: str, at_s: int) -> Reading:
    """Each second has one sequence."""
    return reading(f"GAP-{name}", at_s, at_s, {"speed_kph": 50.0})

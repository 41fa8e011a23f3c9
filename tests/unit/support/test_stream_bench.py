"""What the benchmark of the stream jobs counts, and what it leaves out."""

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from flink_jobs.job import compose
from flink_jobs.tables_sql import Kafka
from tests.bench.streams import fleet
from tests.bench.streams.profile import kind_of, stacks_of
from tests.bench.streams.reading import Look, between
from tests.bench.streams.submit import Part, only
from tests.support.alerts import expected

WHOLE = compose(Kafka("127.0.0.1:9092", "bench", 30, 20))


def test_neither_start_nor_warming_up_nor_end_count() -> None:
    looks = [
        Look(0.0, 0, 5.0, 9.0),
        Look(2.0, 1_000, 6.0, 10.0),
        Look(4.0, 101_000, 10.0, 14.0),
        Look(6.0, 301_000, 12.0, 17.0),
        Look(8.0, 303_000, 13.0, 24.0),
    ]
    found = between("it", looks, 303_000, 700.0)
    assert (found.readings, found.per_s, found.cpu_s_per_million) == (200_000, 100_000, 10)
    assert (found.cores, found.others_cores, found.peak_mb) == (1.0, 0.5, 700.0)
    assert found.cold_cpu_s_per_million == 40


def test_what_is_read_at_once_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="more readings"):
        between("it", [Look(0.0, 0, 0.0, 0.0), Look(0.5, 10, 1.0, 1.0)], 10, 1.0)


@pytest.mark.parametrize(("part", "table"), [(Part.ALERTS, "vehicle_alerts"), (Part.METRICS, "vehicle_metrics")])
def test_a_part_has_the_inserts_of_its_table_and_the_whole_all(part: Part, table: str) -> None:
    (insert,) = only(part, WHOLE).inserts
    assert insert.startswith(f"INSERT INTO {table}\n")
    assert only(part, WHOLE).declarations == WHOLE.declarations
    assert only(Part.WHOLE, WHOLE) == WHOLE


def test_every_vehicle_counts_its_readings_and_some_have_alerts() -> None:
    readings = [Reading.FromString(value) for _, value in fleet.records(50, 1_763_000_100, 300, fleet.profiles())]
    assert len(readings) == 50 * 300
    assert len({(r.vehicle_id, r.sequence) for r in readings}) == len(readings)
    seconds = [r.event_time.seconds for r in readings]
    assert (seconds[0], seconds[-1], seconds) == (1_763_000_100, 1_763_000_399, sorted(seconds))
    assert len({alert_id.split(".")[1] for alert_id, _ in expected(readings)}) >= 5


def test_a_stack_is_of_what_its_innermost_known_frame_says() -> None:
    printed = """
    jdk.ExecutionSample {
      sampledThread = "Source: readings[1] (1/1)#0" (javaThreadId = 90)
      stackTrace = [
        java.util.HashMap.getNode(Object) line: 580
        pitwall.flink.Judge.accumulate(Verdicts, String) line: 40
        org.apache.flink.streaming.runtime.tasks.StreamTask.run() line: 9
      ]
    }
    jdk.ExecutionSample {
      stackTrace = [
        java.lang.Thread.run() line: 833
      ]
    }"""
    first, second = stacks_of(printed.splitlines())
    assert first[0] == "java.util.HashMap.getNode"
    assert (kind_of(first), kind_of(second)) == ("our functions", "other")

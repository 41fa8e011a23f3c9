"""The tables: topics and fields are those that the services know."""

import re

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.alert_pb2 import Alert
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import Reading, StatusChange

from flink_jobs import metrics_sql, tables_sql
from flink_jobs.tables_sql import Kafka
from pitwall import kafka_topics
from pitwall.domain.units import QUANTITIES

KAFKA = Kafka("127.0.0.1:9092", "jobs", 30, 20)
TYPES = {
    FieldDescriptor.TYPE_STRING: "STRING",
    FieldDescriptor.TYPE_DOUBLE: "DOUBLE",
    FieldDescriptor.TYPE_UINT64: "BIGINT",
    FieldDescriptor.TYPE_UINT32: "INT",
    FieldDescriptor.TYPE_BOOL: "BOOLEAN",
    FieldDescriptor.TYPE_ENUM: "STRING",
    FieldDescriptor.TYPE_MESSAGE: "ROW<`seconds` BIGINT, `nanos` INT>",
}


def columns(table: str) -> dict[str, str]:
    """Name to type, of the columns that are fields of the record."""
    body = table.partition("(\n")[2].partition("\n) WITH")[0]
    found = re.findall(r"^  `(\w+)` (.+?),?$", body, re.MULTILINE)
    return {name: kind for name, kind in found if "METADATA" not in kind and not kind.startswith("AS ")}


def fields(of: Descriptor) -> dict[str, str]:
    return {field.name: TYPES[field.type] for field in of.fields if field.name != "zone"}


def test_topics_go_by_the_names_that_the_services_use() -> None:
    assert (
        kafka_topics.TELEMETRY.name,
        kafka_topics.ALERTS.name,
        kafka_topics.METRICS.name,
        kafka_topics.DEAD_LETTER.name,
        kafka_topics.STATUS_CHANGE.name,
        kafka_topics.REGISTRY.name,
        kafka_topics.LATE_WINDOWS.name,
    ) == (
        tables_sql.TELEMETRY,
        tables_sql.ALERTS,
        tables_sql.METRICS,
        tables_sql.DEAD_LETTERS,
        tables_sql.STATUS_CHANGES,
        tables_sql.REGISTRY,
        tables_sql.LATE_WINDOWS,
    )


def test_there_is_one_order_of_late_windows() -> None:
    """The offsets by which the keeper settles them are of one partition."""
    assert kafka_topics.LATE_WINDOWS.partitions == 1


def test_an_alert_has_every_field_of_the_record() -> None:
    assert columns(tables_sql.alerts(KAFKA)) == fields(Alert.DESCRIPTOR)


def test_metrics_have_every_field_but_the_one_that_nobody_knows_yet() -> None:
    found = columns(tables_sql.metrics(KAFKA, metrics_sql.names()))
    assert found == {name: kind for name, kind in fields(VehicleMetrics.DESCRIPTOR).items() if name != "missing_count"}


def test_a_reading_has_fields_of_the_record_and_what_is_left_of_a_bad_one() -> None:
    found = columns(tables_sql.readings(KAFKA, QUANTITIES))
    assert found.pop("undecodable").startswith("ROW<")
    assert found.pop("record_key") == "BYTES"
    assert found.items() <= fields(Reading.DESCRIPTOR).items()
    assert set(tables_sql.REQUIRED) <= set(found)


@pytest.mark.parametrize(
    ("made", "record", "required"),
    [
        (tables_sql.status_changes(KAFKA), StatusChange.DESCRIPTOR, tables_sql.STATUS_REQUIRED),
        (tables_sql.registry(KAFKA), RegistryEntry.DESCRIPTOR, tables_sql.REGISTRY_REQUIRED),
    ],
)
def test_what_else_is_read_has_fields_of_its_record(made: str, record: Descriptor, required: tuple[str, ...]) -> None:
    found = columns(made)
    assert found.pop("undecodable").startswith("ROW<")
    assert found.pop("record_key") == "BYTES"
    if "zone" in found:
        assert found.pop("zone") == tables_sql.ZONE
    assert found.items() <= fields(record).items()
    assert set(required) <= set(found)
    assert "WATERMARK" not in made


def test_the_registry_is_read_from_its_beginning_and_its_tombstones_are_no_bad_records() -> None:
    made = tables_sql.registry(KAFKA)
    assert "'scan.startup.mode' = 'earliest-offset'" in made
    assert "'value.salvaging-protobuf.take-tombstones' = 'true'" in made
    others = (tables_sql.readings(KAFKA, QUANTITIES), tables_sql.status_changes(KAFKA))
    assert all("take-tombstones" not in other for other in others)


@pytest.mark.parametrize("made", [tables_sql.alerts(KAFKA), tables_sql.dead_letters(KAFKA)])
def test_alerts_and_dead_letters_wait_for_no_checkpoint(made: str) -> None:
    assert "'sink.delivery-guarantee' = 'at-least-once'" in made
    assert "'properties.acks' = 'all'" in made


def test_metrics_are_written_in_transactions_of_the_jobs_own() -> None:
    made = tables_sql.metrics(KAFKA, metrics_sql.names())
    assert "'sink.delivery-guarantee' = 'exactly-once'" in made
    assert "'sink.transactional-id-prefix' = 'jobs'" in made


def test_the_recompute_ends_no_transaction_of_the_stream() -> None:
    made = tables_sql.metrics(KAFKA.apart(), metrics_sql.names())
    assert "'sink.transactional-id-prefix' = 'jobs-recompute'" in made


@pytest.mark.parametrize(
    "made", [tables_sql.past_readings(KAFKA, QUANTITIES, 1_764), tables_sql.known_metrics(KAFKA, (), 1_764)]
)
def test_what_a_batch_reads_is_bounded_on_both_sides(made: str) -> None:
    assert "'scan.startup.timestamp-millis' = '1764000'" in made
    assert "'scan.bounded.mode' = 'latest-offset'" in made


def test_a_batch_reads_what_is_committed_and_the_same_columns_that_are_written() -> None:
    known = tables_sql.known_metrics(KAFKA, metrics_sql.names(), 0)
    assert "'properties.isolation.level' = 'read_committed'" in known
    assert columns(known) == columns(tables_sql.metrics(KAFKA, metrics_sql.names()))


def test_a_batch_has_the_readings_of_the_stream() -> None:
    assert columns(tables_sql.past_readings(KAFKA, QUANTITIES, 0)) == columns(tables_sql.readings(KAFKA, QUANTITIES))

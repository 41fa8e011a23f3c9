"""The job as a whole."""

from dataclasses import replace

from flink_jobs.job import compose
from flink_jobs.rules import RULES
from flink_jobs.tables_sql import Kafka

HERE, THERE = Kafka("127.0.0.1:9092", "jobs", 30, 20), Kafka("kafka-1:9092,kafka-2:9092", "jobs", 5, 1)


def test_all_that_is_inserted_goes_by_one_statement_set() -> None:
    job = compose(HERE)
    inserted = [insert.split()[2] for insert in job.inserts]
    assert inserted == ["vehicle_alerts", "vehicle_metrics", "late_windows", "dead_letters"]
    assert all(declaration.startswith("CREATE TEMPORARY ") for declaration in job.declarations)


def test_only_the_quantities_that_somebody_uses_are_decoded() -> None:
    readings = next(d for d in compose(HERE).declarations if d.startswith("CREATE TEMPORARY TABLE readings"))
    assert "`speed_kph` DOUBLE" in readings
    assert "`tire_pressure_rear_left_psi` DOUBLE" in readings
    assert "battery_volts" not in readings


def test_state_is_kept_for_the_same_text_in_another_place_and_not_for_another_text() -> None:
    changed = [replace(RULES[0], hold_s=5), *RULES[1:]]
    assert compose(HERE.anywhere()).fingerprint == compose(THERE.anywhere()).fingerprint
    assert compose(HERE.anywhere()).fingerprint != compose(HERE.anywhere(), changed).fingerprint


def test_the_text_can_be_read_as_a_script() -> None:
    text = str(compose(HERE))
    assert text.count(";\n\n") == len(compose(HERE).declarations) + len(compose(HERE).inserts) - 1
    assert text.endswith(";")

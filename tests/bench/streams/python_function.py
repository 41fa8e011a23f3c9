"""`python -m tests.bench.streams.python_function CONFIG`, in the Flink jobs' environment: one rule in Python.

A PyFlink DataStream job: Flink decodes the readings as for our job, a KeyedProcessFunction in Python drops repeats and
judges one quantity, Flink writes what it says to Kafka. Prints Flink's id of the job.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyflink
from pyflink.common import Configuration, Row, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment
from pyflink.util.java_utils import add_jars_to_context_class_loader, to_jarray

from flink_jobs import tables_sql
from flink_jobs.settings import Settings
from flink_jobs.submit import configuration, jars

#: A topic of its own: nobody mistakes these for alerts.
ALERTS: Final = "bench-python-alerts"
_PYFLINK: Final = Path(pyflink.__file__).parent
_RAISE_AT, _CLEAR_AT = 60.0, 57.0
_STEP: Final[TypeInformation] = Types.ROW_NAMED(["alert_id", "state"], [Types.STRING(), Types.STRING()])


class HighSpeed(KeyedProcessFunction):  # type: ignore[misc]
    """Highest sequence and open alert of a vehicle."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self._highest = runtime_context.get_state(ValueStateDescriptor("highest", Types.LONG()))
        self._open = runtime_context.get_state(ValueStateDescriptor("open", Types.STRING()))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        vehicle_id, boot_epoch, sequence, speed_kph = value
        if sequence <= (self._highest.value() or 0):
            return
        self._highest.update(sequence)
        opened = self._open.value()
        if opened is None and speed_kph is not None and speed_kph > _RAISE_AT:
            alert_id = f"{vehicle_id}.HIGH_SPEED.{boot_epoch}.{sequence}"
            self._open.update(alert_id)
            yield Row(alert_id, "RAISED")
        elif opened is not None and speed_kph is not None and speed_kph < _CLEAR_AT:
            self._open.clear()
            yield Row(opened, "CLEARED")


def main() -> int:
    settings = Settings.load(Path(sys.argv[1]), os.environ)
    environment = _remote(configuration(settings))
    tables = StreamTableEnvironment.create(environment)
    tables.execute_sql(tables_sql.PATIENCE)
    tables.execute_sql(tables_sql.readings(settings.kafka, ["speed_kph"]))
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE alerts (alert_id STRING, state STRING) WITH ('connector' = 'kafka', "
        f"'topic' = '{ALERTS}', 'properties.bootstrap.servers' = '{settings.kafka_bootstrap}', 'format' = 'csv')"
    )
    chosen = "SELECT vehicle_id, boot_epoch, `sequence`, speed_kph FROM readings WHERE undecodable IS NULL"
    readings = tables.to_data_stream(tables.sql_query(chosen))
    steps = readings.key_by(lambda row: row[0], key_type=Types.STRING()).process(HighSpeed(), output_type=_STEP)
    statements = tables.create_statement_set()
    statements.add_insert("alerts", tables.from_data_stream(steps))
    statements.attach_as_datastream()
    print(environment.execute_async("bench-python").get_job_id())
    return 0


def _remote(chosen: dict[str, str]) -> StreamExecutionEnvironment:
    """PyFlink itself makes local ones alone, whatever it is told."""
    # The cluster itself knows nothing of Python.
    flink, files = Configuration(), [str(jar) for jar in (*jars(), *_PYFLINK.glob("opt/flink-python-*.jar"))]
    for key, value in (chosen | _own()).items():
        flink.set_string(key, value)
    add_jars_to_context_class_loader([jar.as_uri() for jar in jars()])
    java = get_gateway().jvm
    of = java.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
    address = (chosen["rest.address"], int(chosen["rest.port"]))
    made = of.createRemoteEnvironment(*address, flink._j_configuration, to_jarray(java.String, files))
    return StreamExecutionEnvironment(made)


def _own() -> dict[str, str]:
    python = {"python.client.executable": sys.executable, "python.executable": sys.executable}
    return python | {"pipeline.name": "bench-python"}


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.bench.streams.submit PART CONFIG`, in the Flink jobs' environment: part of the job, or all of it.

Prints Flink's id of the job. CONFIG: settings as of flink_jobs.
"""

import os
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from flink_jobs.job import Job, compose
from flink_jobs.settings import Settings
from flink_jobs.statements import flink_configuration, statement_set
from flink_jobs.submit import configuration


class Part(StrEnum):
    """What of the job runs."""

    ALERTS = "alerts"
    METRICS = "metrics"
    WHOLE = "whole"


_TABLES: Final = {Part.ALERTS: ("vehicle_alerts",), Part.METRICS: ("vehicle_metrics",)}


def only(part: Part, job: Job) -> Job:
    """Without the inserts into other tables, and so without whatever only they need."""
    if part is Part.WHOLE:
        return job
    kept = [insert for insert in job.inserts if insert.split()[2] in _TABLES[part]]
    if not kept:
        raise ValueError(f"the job has no insert into {_TABLES[part]}")
    return replace(job, inserts=tuple(kept))


def submit(job: Job, chosen: dict[str, str]) -> str:
    from pyflink.table import EnvironmentSettings, TableEnvironment

    flink = flink_configuration(chosen | {"execution.target": "remote"})
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(flink).build()
    started = statement_set(TableEnvironment.create(settings), job).execute()
    return str(started.get_job_client().get_job_id())


def main() -> int:
    part, settings = Part(sys.argv[1]), Settings.load(Path(sys.argv[2]), os.environ)
    print(submit(only(part, compose(settings.kafka)), configuration(settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

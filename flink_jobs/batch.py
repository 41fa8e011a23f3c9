"""Runs a job in batch mode, to its end: for a process that ends soon."""

from collections.abc import Mapping

from flink_jobs.job import Job
from flink_jobs.statements import flink_configuration, statement_set


def run_to_end(job: Job, chosen: Mapping[str, str]) -> None:
    """chosen: Flink's settings. Raises what Flink does, as PyFlink has it."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    settings = EnvironmentSettings.new_instance().in_batch_mode().with_configuration(flink_configuration(chosen))
    statement_set(TableEnvironment.create(settings.build()), job).execute().wait()

"""Runs a job in batch mode, to its end. Imports PyFlink, as flink_jobs.client does: for a process that ends soon."""

from collections.abc import Mapping

from flink_jobs.job import Job


def run_to_end(job: Job, chosen: Mapping[str, str]) -> None:
    """chosen: Flink's settings. Raises what Flink does, as PyFlink has it."""
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    flink = Configuration()
    for key, value in chosen.items():
        flink.set_string(key, value)
    tables = TableEnvironment.create(
        EnvironmentSettings.new_instance().in_batch_mode().with_configuration(flink).build()
    )
    for declaration in job.declarations:
        tables.execute_sql(declaration)
    statements = tables.create_statement_set()
    for insert in job.inserts:
        statements.add_insert_sql(insert)
    statements.execute().wait()

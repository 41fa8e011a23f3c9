"""The job's text in a PyFlink environment: settings, declarations, and the inserts as the one job that they are.

Like client.py and batch.py it imports PyFlink only when called: its JVM takes 300 MB.
"""

from collections.abc import Mapping
from typing import Any

from flink_jobs.job import Job


def flink_configuration(chosen: Mapping[str, str]) -> Any:
    """PyFlink's Configuration of Flink's settings."""
    from pyflink.common import Configuration

    flink = Configuration()
    for key, value in chosen.items():
        flink.set_string(key, value)
    return flink


def statement_set(tables: Any, job: Job) -> Any:
    """PyFlink's StatementSet of all inserts. tables: a TableEnvironment, in which everything is declared."""
    for declaration in job.declarations:
        tables.execute_sql(declaration)
    statements = tables.create_statement_set()
    for insert in job.inserts:
        statements.add_insert_sql(insert)
    return statements

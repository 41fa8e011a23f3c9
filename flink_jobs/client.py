"""Plans the job and hands it to a Flink cluster. The only module that imports PyFlink: its JVM takes 300 MB.

PyFlink can execute a job, but not keep its plan, so Flink's own classes do both here, by way of PyFlink's gateway.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flink_jobs import plans
from flink_jobs.job import Job


def hand_over(plan: Path, job: Job, chosen: Mapping[str, str], jars: Iterable[Path], restore_from: Path | None) -> str:
    """Flink's id of the job, once the cluster has accepted it. Raises what Flink does, as PyFlink has it.

    plan: read where it is there, made otherwise. chosen: Flink's settings. restore_from: a checkpoint, which the job
    then owns and removes in time.
    """
    from pyflink.java_gateway import get_gateway

    java = get_gateway().jvm
    graph = _read(java, plan) or _planned(java, plan, job, chosen)
    graph.setJobID(java.org.apache.flink.api.common.JobID.generate())
    for jar in jars:
        graph.addJar(java.org.apache.flink.core.fs.Path(jar.as_uri()))
    if restore_from is not None:
        claim = java.org.apache.flink.core.execution.RecoveryClaimMode.CLAIM
        settings = java.org.apache.flink.runtime.jobgraph.SavepointRestoreSettings
        graph.setSavepointRestoreSettings(settings.forPath(restore_from.as_uri(), False, claim))
    configuration = java.org.apache.flink.configuration.Configuration.fromMap(dict(chosen))
    cluster = java.org.apache.flink.client.program.rest.RestClusterClient(configuration, "pitwall")
    try:
        return str(cluster.submitJob(graph).get().toString())
    finally:
        cluster.close()


def _read(java: Any, plan: Path) -> Any:
    """The job graph; None where there is none that this Flink can read."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-not-found]

    if not plan.exists():
        return None
    file = java.java.io.FileInputStream(str(plan))
    try:
        return java.org.apache.flink.util.InstantiationUtil.deserializeObject(file, _loader(java))
    except Py4JJavaError:
        return None
    finally:
        file.close()


def _planned(java: Any, plan: Path, job: Job, chosen: Mapping[str, str]) -> Any:
    """The job graph, and from now on it is there to be read."""
    graph = _stream_graph(job, chosen).getJobGraph(_loader(java))
    written = plans.begin(plan)
    file = java.java.io.FileOutputStream(str(written))
    java.org.apache.flink.util.InstantiationUtil.serializeObject(file, graph)
    file.close()
    plans.finish(written, plan)
    return graph


def _stream_graph(job: Job, chosen: Mapping[str, str]) -> Any:
    from pyflink.common import Configuration
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import EnvironmentSettings, StreamTableEnvironment

    flink = Configuration()
    for key, value in chosen.items():
        flink.set_string(key, value)
    environment = StreamExecutionEnvironment.get_execution_environment(flink)
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(flink).build()
    tables = StreamTableEnvironment.create(environment, settings)
    for declaration in job.declarations:
        tables.execute_sql(declaration)
    statements = tables.create_statement_set()
    for insert in job.inserts:
        statements.add_insert_sql(insert)
    statements.attach_as_datastream()
    return environment._j_stream_execution_environment.getStreamGraph()


def _loader(java: Any) -> Any:
    """Of Flink's classes, and of ours once the jars are among the settings of an environment."""
    return java.Thread.currentThread().getContextClassLoader()

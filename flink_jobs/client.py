"""Plans the job and hands it to a Flink cluster.

PyFlink can execute a job, but neither keep its plan nor look into its state, so Flink's own classes do that here, by
way of PyFlink's gateway. Files are Flink's too: what its plugins can read, as S3, can be read here.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flink_jobs import plans, uids
from flink_jobs.checkpoints import Entry, State, StateGone
from flink_jobs.job import Job
from flink_jobs.statements import flink_configuration, statement_set


@dataclass(frozen=True, slots=True)
class Client:
    """Flink's classes, with the job's settings. Raises what Flink does, as PyFlink has it."""

    java: Any
    chosen: Mapping[str, str]

    @classmethod
    def start(cls, chosen: Mapping[str, str]) -> "Client":
        """chosen: Flink's settings of the job. Those of the cluster come from FLINK_CONF_DIR, where that is set."""
        import pyflink
        from pyflink.java_gateway import get_gateway

        # Where this isn't set, PyFlink sets FLINK_PLUGINS_DIR, whatever people have set it to.
        os.environ.setdefault("FLINK_HOME", pyflink.__path__[0])
        java = get_gateway().jvm
        of_cluster = java.org.apache.flink.configuration.GlobalConfiguration.loadConfiguration()
        plugins = java.org.apache.flink.core.plugin.PluginUtils.createPluginManagerFromRootFolder(of_cluster)
        java.org.apache.flink.core.fs.FileSystem.initialize(of_cluster, plugins)
        return cls(java, chosen)

    def planned(self, plan: Path, job: Job) -> Any:
        """Flink's job graph: read from ``plan`` where this Flink can, made otherwise, and kept there."""
        return self._read(plan) or self._made(plan, job)

    def unfit(self, graph: Any, state: State) -> list[str]:
        """Operators that have something in ``state`` and no place in ``graph``, as people call them, each once.

        Raises StateGone.
        """
        kept = {
            pair.getUserDefinedOperatorID().orElse(pair.getGeneratedOperatorID()).toString()
            for vertex in graph.getVerticesAsArray()
            for pair in vertex.getOperatorIDs().toArray()
        }
        names = [
            uids.plain(found.getOperatorUid().orElse(found.getOperatorName().orElse(found.getOperatorID().toString())))
            for found in self._operators(state)
            if found.getOperatorID().toString() not in kept and _has_something(found)
        ]
        return sorted(set(names))

    def submit(self, graph: Any, jars: Iterable[Path], state: State | None, *, partly: bool) -> str:
        """Flink's id of the job, once the cluster has accepted it.

        A checkpoint is the job's from then on, and removed in time; a savepoint stays. partly: what has no place any
        more is left out.
        """
        flink = self.java.org.apache.flink
        graph.setJobID(flink.api.common.JobID.generate())
        for jar in jars:
            graph.addJar(flink.core.fs.Path(jar.as_uri()))
        if state is not None:
            modes = flink.core.execution.RecoveryClaimMode
            mode = modes.NO_CLAIM if state.is_savepoint else modes.CLAIM
            settings = flink.runtime.jobgraph.SavepointRestoreSettings
            graph.setSavepointRestoreSettings(settings.forPath(state.folder, partly, mode))
        configuration = flink.configuration.Configuration.fromMap(dict(self.chosen))
        cluster = flink.client.program.rest.RestClusterClient(configuration, "pitwall")
        try:
            return str(cluster.submitJob(graph).get().toString())
        finally:
            cluster.close()

    def listed(self, folder: str) -> list[Entry]:
        """As flink_jobs.checkpoints.Files."""
        from py4j.protocol import Py4JJavaError  # type: ignore[import-not-found]

        path = self.java.org.apache.flink.core.fs.Path(folder)
        try:
            found = path.getFileSystem().listStatus(path)
        except Py4JJavaError as error:
            if _is_missing(error):
                return []
            raise
        return [Entry(e.getPath().getName(), bool(e.isDir()), int(e.getModificationTime())) for e in found or ()]

    def remove(self, path: str) -> None:
        """As flink_jobs.checkpoints.Files."""
        doomed = self.java.org.apache.flink.core.fs.Path(path)
        doomed.getFileSystem().delete(doomed, True)

    def read(self, path: str) -> bytes:
        """As flink_jobs.checkpoints.Files."""
        place = self.java.org.apache.flink.core.fs.Path(path)
        file = place.getFileSystem().open(place)
        try:
            return bytes(file.readAllBytes())
        finally:
            file.close()

    def write(self, path: str, content: bytes) -> None:
        """As flink_jobs.checkpoints.Files."""
        flink = self.java.org.apache.flink.core.fs
        place = flink.Path(path)
        file = place.getFileSystem().create(place, flink.FileSystem.WriteMode.OVERWRITE)
        try:
            file.write(content)
        finally:
            file.close()

    def _operators(self, state: State) -> list[Any]:
        from py4j.protocol import Py4JJavaError

        runtime = self.java.org.apache.flink.runtime
        storage = runtime.state.filesystem.AbstractFsCheckpointStorageAccess
        try:
            metadata = storage.resolveCheckpointPointer(state.folder).getMetadataHandle().openInputStream()
        except Py4JJavaError as error:
            if _is_missing(error):
                raise StateGone(f"{state.folder} was removed meanwhile") from error
            raise
        read = self.java.java.io.DataInputStream(metadata)
        try:
            found = runtime.checkpoint.Checkpoints.loadCheckpointMetadata(read, self._loader(), state.folder)
            return list(found.getOperatorStates().toArray())
        finally:
            read.close()

    def _read(self, plan: Path) -> Any:
        """None where there is none that this Flink can read."""
        from py4j.protocol import Py4JJavaError

        if not plan.exists():
            return None
        file = self.java.java.io.FileInputStream(str(plan))
        try:
            return self.java.org.apache.flink.util.InstantiationUtil.deserializeObject(file, self._loader())
        except Py4JJavaError:
            return None
        finally:
            file.close()

    def _made(self, plan: Path, job: Job) -> Any:
        planned = _stream_graph(job, self.chosen)
        nodes = [
            uids.Operator(node.getId(), node.getOperatorName(), node.getOperatorDescription())
            for node in planned.getStreamNodes().toArray()
        ]
        for number, uid in uids.uids(nodes).items():
            planned.setTransformationUID(number, uid)
        graph = planned.getJobGraph(self._loader())
        written = plans.begin(plan)
        file = self.java.java.io.FileOutputStream(str(written))
        self.java.org.apache.flink.util.InstantiationUtil.serializeObject(file, graph)
        file.close()
        plans.finish(written, plan)
        return graph

    def _loader(self) -> Any:
        """Of Flink's classes, and of ours once the jars are among the settings of an environment."""
        return self.java.Thread.currentThread().getContextClassLoader()


def _is_missing(error: Any) -> bool:
    return bool(error.java_exception.getClass().getName() == "java.io.FileNotFoundException")


def _has_something(operator: Any) -> bool:
    parts = operator.getStates().toArray()
    return operator.getCoordinatorState() is not None or any(part.hasState() for part in parts)


def _stream_graph(job: Job, chosen: Mapping[str, str]) -> Any:
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import EnvironmentSettings, StreamTableEnvironment

    flink = flink_configuration(chosen)
    environment = StreamExecutionEnvironment.get_execution_environment(flink)
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(flink).build()
    tables = StreamTableEnvironment.create(environment, settings)
    statement_set(tables, job).attach_as_datastream()
    return environment._j_stream_execution_environment.getStreamGraph()

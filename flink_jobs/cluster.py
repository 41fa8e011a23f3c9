"""What Flink's job manager says about its jobs, over its REST interface."""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

_TIMEOUT_S: Final = 5.0
#: From these a job doesn't come back by itself.
TERMINAL: Final = frozenset({"FAILED", "CANCELED", "FINISHED"})
_LONGEST_CAUSE: Final = 2_000
#: For a savepoint, and for a job to end. A checkpoint of a healthy job takes less than a second.
STOP_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.1
_T = TypeVar("_T")


class ClusterUnreachable(Exception):
    """The job manager doesn't answer, or not with what is asked for; the text says what it did."""


class NotStopped(Exception):
    """The job couldn't make a savepoint; says why. It may run on."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job as the cluster has it, called "<name> <version>". ``state`` is Flink's word."""

    job_id: str
    name: str
    state: str
    tasks_running: int
    tasks_total: int

    @property
    def version(self) -> str:
        return self.name.rpartition(" ")[2]

    @property
    def active(self) -> bool:
        return self.state not in TERMINAL

    @property
    def at_work(self) -> bool:
        """All of it runs."""
        return self.state == "RUNNING" and self.tasks_running == self.tasks_total > 0


@dataclass(frozen=True, slots=True)
class Cluster:
    """``address``: host:port of the job manager's REST interface."""

    address: str

    def jobs(self) -> list[RunningJob]:
        """Those that the job manager remembers. Raises ClusterUnreachable."""
        return [
            RunningJob(job["jid"], job["name"], job["state"], job["tasks"]["running"], job["tasks"]["total"])
            for job in self._get("/jobs/overview")["jobs"]
        ]

    def free_slots(self) -> int:
        """Tasks that could start now. Raises ClusterUnreachable."""
        return int(self._get("/overview")["slots-available"])

    def cause_of_failure(self, job_id: str) -> str:
        """What Flink names as the cause, the innermost exception first. Raises ClusterUnreachable."""
        failures = self._get(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        latest = max(failures, key=lambda failure: failure["timestamp"], default=None)
        text = str(latest["stacktrace"]) if latest else "Flink names no cause"
        causes = [line for line in text.splitlines() if line.startswith("Caused by:")]
        return (causes[-1] if causes else text)[:_LONGEST_CAUSE]

    def checkpointed_s(self, job_id: str) -> float:
        """When its newest checkpoint was complete, in seconds since 1970; 0: there is none. Raises ClusterUnreachable.

        One that it was restored from doesn't count: Flink tells only when that was read.
        """
        completed = self._get(f"/jobs/{job_id}/checkpoints")["latest"].get("completed")
        return completed["latest_ack_timestamp"] / 1000 if completed else 0.0

    def stop(self, job_id: str, folder: str) -> str:
        """Stops it with a savepoint below ``folder``, and returns where that is, once the job has ended.

        What it wrote is committed by then. Raises NotStopped, ClusterUnreachable.
        """
        wanted = {"targetDirectory": folder, "drain": False, "formatType": "CANONICAL"}
        try:
            trigger = self._ask("POST", f"/jobs/{job_id}/stop", wanted)["request-id"]
        except ClusterUnreachable as error:
            raise NotStopped(str(error)) from error

        def outcome() -> Mapping[str, Any] | None:
            answer = self._get(f"/jobs/{job_id}/savepoints/{trigger}")
            return answer["operation"] if answer["status"]["id"] == "COMPLETED" else None

        operation = _awaited(outcome)
        if operation is None or "location" not in operation:
            raise NotStopped(f"job {job_id} made no savepoint within {STOP_WITHIN_S:g} s: {str(operation)[:300]}")
        self._await_end(job_id)
        return str(operation["location"])

    def cancel(self, job_id: str) -> None:
        """Returns once it has ended; its last checkpoint stays. Raises ClusterUnreachable."""
        self._ask("PATCH", f"/jobs/{job_id}?mode=cancel")
        self._await_end(job_id)

    def _await_end(self, job_id: str) -> None:
        def ended() -> bool:
            return all(job.job_id != job_id or not job.active for job in self.jobs())

        if not _awaited(ended):
            raise ClusterUnreachable(f"job {job_id} doesn't end within {STOP_WITHIN_S:g} s")

    def _get(self, path: str) -> Mapping[str, Any]:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=_TIMEOUT_S)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
            if response.status not in (http.client.OK, http.client.ACCEPTED):
                raise ClusterUnreachable(f"http://{self.address}{path} answers {response.status}: {said[:300]!r}")
            answer: Mapping[str, Any] = json.loads(said)
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise ClusterUnreachable(f"http://{self.address}{path}: {error}") from error
        finally:
            connection.close()
        return answer


def _awaited(asked: Callable[[], _T]) -> _T:
    """The first answer that is something, or the last one. REST tells nothing by itself."""
    deadline = time.monotonic() + STOP_WITHIN_S
    while not (answer := asked()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return answer

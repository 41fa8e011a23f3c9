"""What Flink's job manager says about its jobs, over its REST interface."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_TIMEOUT_S: Final = 5.0
#: From these a job doesn't come back by itself.
TERMINAL: Final = frozenset({"FAILED", "CANCELED", "FINISHED"})
_LONGEST_CAUSE: Final = 2_000


class ClusterUnreachable(Exception):
    """The job manager doesn't answer, or not with what is asked for; the text says what it did."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job as the cluster has it. ``state`` is Flink's word."""

    job_id: str
    name: str
    state: str
    tasks_running: int
    tasks_total: int

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

    def cause_of_failure(self, job_id: str) -> str:
        """What Flink names as the cause, the innermost exception first. Raises ClusterUnreachable."""
        text = str(self._get(f"/jobs/{job_id}/exceptions").get("root-exception") or "Flink names no cause")
        causes = [line for line in text.splitlines() if line.startswith("Caused by:")]
        return (causes[-1] if causes else text)[:_LONGEST_CAUSE]

    def _get(self, path: str) -> Mapping[str, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            if response.status != http.client.OK:
                raise ClusterUnreachable(f"http://{self.address}{path} answers {response.status}: {body[:300]!r}")
            answer: Mapping[str, Any] = json.loads(body)
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise ClusterUnreachable(f"http://{self.address}{path}: {error}") from error
        finally:
            connection.close()
        return answer

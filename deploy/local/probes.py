"""How to tell that a process is healthy: ask it something that only a working one can answer.

``check`` answers None when it is, else what is wrong, within a second.
"""

import http.client
import json
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_TIMEOUT_S = 1.0
_HOST = "127.0.0.1"


class Probe(Protocol):
    """One question to one process."""

    def check(self) -> str | None:
        """None: healthy. Else the reason why not."""


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """GET answers 200."""

    port: int
    path: str

    def check(self) -> str | None:
        answer = _get(self.port, self.path)
        return None if isinstance(answer, bytes) else answer


@dataclass(frozen=True, slots=True)
class FileProbe:
    """The file is there."""

    path: Path

    def check(self) -> str | None:
        return None if self.path.exists() else f"{self.path} doesn't exist"


@dataclass(frozen=True, slots=True)
class FlinkProbe:
    """The job manager counts at least ``task_managers``."""

    port: int
    task_managers: int

    def check(self) -> str | None:
        answer = _get(self.port, "/overview")
        if isinstance(answer, str):
            return answer
        found = int(json.loads(answer)["taskmanagers"])
        return None if found >= self.task_managers else f"{found} task managers, not {self.task_managers}"


@dataclass(frozen=True, slots=True)
class KafkaProbe:
    """The broker names itself in its metadata, which it does only once it takes part in the cluster."""

    port: int

    def check(self) -> str | None:
        # No log callback: librdkafka would write each refused connection to our screen.
        client = AdminClient({"bootstrap.servers": f"{_HOST}:{self.port}", "log_level": 0})
        try:
            brokers = client.list_topics(timeout=_TIMEOUT_S).brokers
        except KafkaException as error:
            return str(error.args[0].str())
        return None if brokers else "no broker in the metadata"


@dataclass(frozen=True, slots=True)
class PostgresProbe:
    """pg_isready says that it accepts connections."""

    port: int
    pg_isready: Path

    def check(self) -> str | None:
        command = [str(self.pg_isready), "-h", _HOST, "-p", str(self.port), "-t", "1"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return None if result.returncode == 0 else result.stdout.strip()


@dataclass(frozen=True, slots=True)
class RedisProbe:
    """PING is answered by PONG."""

    port: int

    def check(self) -> str | None:
        try:
            with socket.create_connection((_HOST, self.port), timeout=_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\n")
                answer = connection.recv(64)
        except OSError as error:
            return f"port {self.port}: {error}"
        return None if answer == b"+PONG\r\n" else answer.decode(errors="replace").strip()


def _get(port: int, path: str) -> bytes | str:
    """The body of a 200, or what went wrong. http.client, because urllib would obey a proxy in the environment."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"http://{_HOST}:{port}{path}: {error}"
    finally:
        connection.close()
    if response.status == http.client.OK:
        return body
    return f"http://{_HOST}:{port}{path} answers {response.status}: {body[:300].decode(errors='replace').strip()}"

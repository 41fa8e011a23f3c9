"""Checks of Kafka, PostgreSQL, Redis and Flink. None of them is needed to stop a vehicle, and the findings say so."""

import http.client
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from console.checks import Finding, look, ok, wrong
from console.site import Site, read_toml

TIMEOUT_S = 3.0
_STOPS_WORK = "stops work without it"
_NO_NEW_ALERTS = f"no alert is raised or cleared meanwhile; {_STOPS_WORK}"

#: https://www.postgresql.org/docs/15/protocol-message-formats.html SSLRequest: any server answers one byte, S or N.
_POSTGRES_SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))


def check_stores(site: Site) -> Iterator[Finding]:
    """Those that the local stack has configured; all four where there is no local stack's configuration."""
    programs = _programs(site.home / "config")
    for name, check in _CHECKS.items():
        if not programs or any(program.split("-")[0] == name for program in programs):
            yield check(site)


def check_kafka(site: Site) -> Finding:
    """Its metadata, and whether the topics are there."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from pitwall.kafka_topics import TOPICS

    bootstrap = _kafka_bootstrap(site)
    part = f"Kafka {bootstrap}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        there = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        text = f"{error.args[0].str()}; {_STOPS_WORK}, vehicles keep their readings until it is back"
        return wrong(part, text, look(site, "kafka"))
    missing = [topic.name for topic in TOPICS if topic.name not in there]
    if missing:
        fix = f"python -m ingest_gateway.topics --config {site.home / 'config' / 'gateway-1.toml'}"
        return wrong(part, f"has no topic {', '.join(missing)}", f"make them: {fix}")
    return ok(part, f"answers, has all {len(TOPICS)} topics")


def check_postgres(site: Site) -> Finding:
    port = _port(site, "postgres", 15432, _postgres_script(site), r"-c port=(\d+)")
    part = f"PostgreSQL localhost:{port}"
    answer = _converse(port, _POSTGRES_SSL_REQUEST)
    if isinstance(answer, str):
        return wrong(part, f"{answer}; {_STOPS_WORK}", look(site, "postgres"))
    if answer[:1] not in (b"S", b"N"):
        return wrong(part, "something else listens there", f"see who: ss -ltnp 'sport = :{port}'")
    return ok(part, "answers")


def check_redis(site: Site) -> Finding:
    port = _port(site, "redis", 16379, site.home / "config" / "redis.conf", r"(?m)^port (\d+)")
    part = f"Redis localhost:{port}"
    answer = _converse(port, b"PING\r\n")
    if isinstance(answer, str):
        return wrong(part, f"{answer}; {_STOPS_WORK}", look(site, "redis"))
    if not answer.startswith((b"+PONG", b"-NOAUTH")):
        return wrong(part, "something else listens there", f"see who: ss -ltnp 'sport = :{port}'")
    return ok(part, "answers")


def check_flink(site: Site) -> Finding:
    """The job manager's own count of task managers, and whether a job runs where the stack keeps one."""
    port = _port(site, "flink", 8081, site.home / "config" / "flink" / "config.yaml", r"(?m)^rest.port: (\d+)")
    part = f"Flink localhost:{port}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/overview")
        overview = json.loads(connection.getresponse().read())
        managers, slots, jobs = (int(overview[key]) for key in ("taskmanagers", "slots-total", "jobs-running"))
    except (OSError, http.client.HTTPException) as error:
        return wrong(part, f"{error}; {_NO_NEW_ALERTS}", look(site, "flink-jobmanager"))
    except (ValueError, KeyError, TypeError):
        return wrong(part, "something else listens there", f"see who: ss -ltnp 'sport = :{port}'")
    finally:
        connection.close()
    if not managers:
        return wrong(part, f"has no task manager, so no job runs; {_NO_NEW_ALERTS}", look(site, "flink-taskmanager"))
    if not jobs and (site.home / "config" / "stream-jobs.toml").exists():
        return wrong(part, f"runs no job; {_NO_NEW_ALERTS}", look(site, "stream-jobs", "flink-jobmanager"))
    return ok(part, f"{managers} task managers, {slots} slots, {jobs} jobs run")


_CHECKS: dict[str, Callable[[Site], Finding]] = {
    "kafka": check_kafka,
    "postgres": check_postgres,
    "redis": check_redis,
    "flink": check_flink,
}


def _converse(port: int, request: bytes) -> bytes | str:
    """The answer, or in words why there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except TimeoutError:
        return "doesn't answer: it hangs"
    except OSError as error:
        return str(error.strerror or error)


def _kafka_bootstrap(site: Site) -> str:
    for path in sorted((site.home / "config").glob("*.toml")):
        found = read_toml(path).get("kafka_bootstrap")
        if isinstance(found, str):
            return found
    return "localhost:9092"


def _port(site: Site, name: str, default: int, file: Path | None, pattern: str) -> int:
    """From the local stack's own configuration, else from the environment that moves its ports."""
    try:
        found = re.search(pattern, file.read_text("utf-8")) if file else None
    except (OSError, ValueError):
        found = None
    if found:
        return int(found[1])
    said = os.environ.get(f"PITWALL_PORT_{name.upper()}", "")
    return int(said) if said.isdecimal() else default


def _supervised(config: Path) -> str:
    try:
        return (config / "supervisord.conf").read_text("utf-8")
    except OSError:
        return ""


def _programs(config: Path) -> set[str]:
    """Names of all processes that the local stack supervises."""
    return set(re.findall(r"(?m)^\[program:([\w-]+)\]", _supervised(config)))


def _postgres_script(site: Site) -> Path | None:
    """PostgreSQL's files are elsewhere where the stack runs as root."""
    found = re.search(r"(?m)^command ?= ?.*?(\S*postgres\.sh)", _supervised(site.home / "config"))
    return Path(found[1]) if found else None

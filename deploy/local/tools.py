"""Finds the programs that the stack runs and that pip doesn't install into our own environment."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import ToolMissingError
from deploy.local.options import Server

CHECKOUT = Path(__file__).resolve().parents[2]
# Flink 2.2 and Kafka 4.3 both run on these; Flink refuses newer ones.
JAVA_MAJORS = (17, 21)
POSTGRES_MAJORS = (17, 16, 15)
_HINT = "run `make run` or deploy/local/bootstrap.sh, which installs it"


@dataclass(frozen=True, slots=True)
class Postgres:
    """The server programs of one major version, whose data no other major version reads."""

    major: str
    bin: Path


@dataclass(frozen=True, slots=True)
class Tools:
    """Where to look: on the system, and in the checkout, where deploy/local/bootstrap.sh puts what no package has."""

    environment: Mapping[str, str]
    root: Path = Path("/")
    checkout: Path = CHECKOUT

    def java_home(self) -> Path:
        """JAVA_HOME where it is set, else a Java that the package manager installed, else the one on PATH."""
        chosen = self.environment.get("JAVA_HOME")
        candidates = [Path(chosen)] if chosen else [*self._packaged_java(), *self._java_on_path()]
        for home in candidates:
            if java_major(home) in JAVA_MAJORS:
                return home
        where = f"JAVA_HOME={chosen} holds none; set another or unset it" if chosen else "none was found"
        raise ToolMissingError(f"Java 17 is missing ({where}): install the package openjdk-17-jdk-headless, or {_HINT}")

    def postgres(self) -> Postgres:
        for major in POSTGRES_MAJORS:
            directory = self.root / f"usr/lib/postgresql/{major}/bin"
            if (directory / "initdb").exists():
                return Postgres(str(major), directory)
        raise ToolMissingError(
            f"PostgreSQL is missing: install the package postgresql-15 (Debian 12) or postgresql-16, or {_HINT}"
        )

    def redis_command(self) -> tuple[str, ...]:
        """Debian's redis-tools holds the server's program under another name; the name it is called by is its role.

        So the stack needs no redis-server package, which would start a service on this machine.
        """
        if server := self._on_path("redis-server"):
            return (server,)
        if twin := self._on_path("redis-check-rdb"):
            return ("/bin/bash", "-c", 'exec -a redis-server "$0" "$@"', twin)
        raise ToolMissingError(f"Redis is missing: install the package redis-tools, or {_HINT}")

    def kafka_classpath(self) -> str:
        libs = self.checkout / "deploy/local/kafka/target/libs"
        if not any(libs.glob("kafka_2.13-*.jar")):
            raise ToolMissingError(f"Kafka's jars are missing in {libs}: {_HINT}")
        return f"{libs}/*"

    def flink_home(self) -> Path:
        venv = self.checkout / "flink_jobs/.venv"
        for home in venv.glob("lib/python3.*/site-packages/pyflink"):
            if (home / "bin/jobmanager.sh").exists():
                return home
        raise ToolMissingError(f"Flink is missing in {venv}: {_HINT}")

    def flink_python(self) -> Path:
        """The interpreter of the stream jobs' own environment."""
        python = self.checkout / "flink_jobs/.venv/bin/python"
        if not python.exists() or not (self.checkout / "flink_jobs/target/pitwall-flink.jar").exists():
            raise ToolMissingError(
                f"The stream jobs' environment or jar is missing in {self.checkout}/flink_jobs: {_HINT}"
            )
        return python

    def _packaged_java(self) -> Iterator[Path]:
        for major in JAVA_MAJORS:
            yield from sorted((self.root / "usr/lib/jvm").glob(f"*{major}*"))

    def _java_on_path(self) -> Iterator[Path]:
        if java := self._on_path("java"):
            yield Path(java).resolve().parents[1]

    def _on_path(self, name: str) -> str | None:
        return shutil.which(name, path=self.environment.get("PATH", ""))


def java_major(home: Path) -> int | None:
    """The major version that the JDK's own ``release`` file names; None where that isn't a whole Java."""
    release = home / "release"
    if not (home / "bin/java").exists() or not release.exists():
        return None
    found = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(), re.MULTILINE)
    return int(found[1]) if found else None


def check_tools(tools: Tools, servers: frozenset[Server]) -> None:
    """Raises one ToolMissingError that names everything that is missing for ``servers``."""
    needs: Mapping[Server, tuple[Callable[[], object], ...]] = {
        Server.KAFKA: (tools.java_home, tools.kafka_classpath),
        Server.FLINK: (tools.java_home, tools.flink_home, tools.flink_python),
        Server.POSTGRES: (tools.postgres,),
        Server.REDIS: (tools.redis_command,),
    }
    missing: dict[str, None] = {}
    for server in sorted(servers):
        for find in needs[server]:
            try:
                find()
            except ToolMissingError as error:
                missing[str(error)] = None
    if missing:
        raise ToolMissingError("\n".join(missing))

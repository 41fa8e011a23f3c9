"""The process `python -m command_service`: how it starts, how it refuses to, what it remembers when it is killed."""

import asyncio
import json
import resource
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import stop_pb2

from pitwall.clock import boottime_s
from pitwall.exits import EXIT_CONFIG, EXIT_MISSING, EXIT_PORT_TAKEN
from tests.integration.command_rig import (
    BRAKING,
    FLEET,
    NAME,
    RECEIVED,
    STANDSTILL,
    Site,
    make_home,
    session,
    tls,
    vehicles,
)
from tests.support.ports import free_port

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"
STARTS_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


def write_config(home: Path, data: Path, **changes: Any) -> Path:
    """A file for one process, with ports of its own."""
    certs = tls(home, NAME)
    keys: dict[str, Any] = {
        "name": NAME,
        **{f"{which}_address": f"127.0.0.1:{free_port()}" for which in ("operator", "link", "metrics")},
        "journal": str(data / "journal.sqlite"),
        "jwks": str(home / "certs" / "jwks.json"),
        "first_start": True,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in (keys | changes).items()]
    table = [f"{key} = {json.dumps(str(getattr(certs, key)))}" for key in ("ca", "certificate", "key")]
    path = data / "command.toml"
    path.write_text("\n".join([*lines, "[tls]", *table]) + "\n")
    return path


def port_in(config: Path, which: str) -> int:
    line = next(line for line in config.read_text().splitlines() if line.startswith(which))
    return int(line.rstrip('"').rpartition(":")[2])


def start(config: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "command_service", "--config", str(config)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def refusal(config: Path) -> tuple[int, str]:
    """Exit code and last words of a process that has to refuse to start."""
    process = start(config)
    with ended(process):
        _, stderr = process.communicate(timeout=STARTS_WITHIN_S)
        return process.returncode, stderr


def health(config: Path) -> bool | None:
    """None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port_in(config, 'metrics')}/healthz", timeout=5) as answer:
            return bool(json.loads(answer.read())["healthy"])
    except urllib.error.HTTPError:
        return False
    except OSError:
        return None


async def await_health(config: Path, process: "subprocess.Popen[str]", healthy: bool) -> None:
    """Nobody tells when a process begins to listen, or that its disk is full."""
    deadline_s = boottime_s() + STARTS_WITHIN_S
    while await asyncio.to_thread(health, config) is not healthy:
        assert process.poll() is None, process.communicate()[1]
        assert boottime_s() < deadline_s
        await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(home: Path, config: Path) -> AsyncIterator[tuple[Site, "subprocess.Popen[str]"]]:
    process = start(config)
    with ended(process):
        await await_health(config, process, True)
        async with AsyncExitStack() as stack:
            yield Site(home, (port_in(config, "operator"), port_in(config, "link")), stack), process


async def test_it_ends_on_sigterm_with_0(home: Path, tmp_path: Path) -> None:
    config = write_config(home, tmp_path)
    async with serving(home, config) as (site, process):
        gateway = await site.gateway()
        await gateway.exchanged(session(A))
        process.send_signal(signal.SIGTERM)
        await gateway.wait(lambda: gateway.ended, "the end of the stream")
        assert await asyncio.to_thread(process.wait, 10) == 0


async def test_what_was_issued_survives_kill_9(home: Path, tmp_path: Path) -> None:
    """Stop, stages, a request for release, known vehicles: as told to the operator, so found again."""
    config = write_config(home, tmp_path)
    async with serving(home, config) as (site, process):
        gateway, operator = await site.gateway(), await site.operator()
        await gateway.exchanged(session(A), session(B))
        stopped = await operator.stopped(vehicles(A, B))
        stop_id = stopped.stop.stop_id
        await gateway.say(A, stop_id, RECEIVED, BRAKING, STANDSTILL, durably=True)
        await operator.until(stop_id, lambda state: state.summary.standstill == 1)
        asked = command_pb2.RequestReleaseRequest(stop_ids=[stop_id], vehicle_ids=[B], reason="clear")
        release = await operator.call("RequestRelease", asked)
        process.kill()
        process.wait()
    async with serving(home, write_config(home, tmp_path, first_start=False)) as (site, _):
        operator = await site.operator()
        state = await operator.state(stop_id)
        assert (state.stop, state.active, state.summary.confirmed) == (stopped.stop, True, True)
        assert state.summary.brakes_by_time == stopped.summary.brakes_by_time
        assert state.summary.unreachable == 2, "nobody has told of a link yet"
        assert (await operator.motion(A)).software_version == "1.0"
        gateway = await site.gateway()
        # As gateways do it: the set first, then the sessions with what vehicles have said so far.
        await gateway.exchanged(session(A, 1, stop_id), session(B, 1, stop_id))
        assert [stop.stop_id for stop in gateway.of("stop_set")[0].stop_set.stops] == [stop_id]
        await gateway.say(A, stop_id, RECEIVED, BRAKING, STANDSTILL)
        state = await operator.until(stop_id, lambda state: state.summary.standstill == 1)
        assert state.summary.pending == 1
        (record,) = (await operator.call("ListReleases", command_pb2.ListReleasesRequest())).releases
        assert record == release
        supervisor = await site.operator("supervisor")
        approved = await supervisor.call(
            "ApproveRelease", command_pb2.ApproveReleaseRequest(release_id=release.release.release_id)
        )
        assert approved.state == stop_pb2.RELEASE_STATE_APPROVED


async def test_every_stop_that_was_called_issued_is_there_after_kill_9(home: Path, tmp_path: Path) -> None:
    config = write_config(home, tmp_path)
    issued: list[str] = []
    many = asyncio.Event()

    async def stop_on(site: Site) -> None:
        operator = await site.operator()
        while True:
            issued.append((await operator.stopped(vehicles(A))).stop.stop_id)
            if len(issued) > 20:
                many.set()

    async with serving(home, config) as (site, process):
        stopping = [asyncio.create_task(stop_on(site)) for _ in range(4)]
        await asyncio.wait_for(many.wait(), 20)
        process.kill()
        await asyncio.gather(*stopping, return_exceptions=True)
    async with serving(home, config) as (site, _):
        operator = await site.operator()
        held: set[str] = set()
        request = command_pb2.ListStopsRequest(page_size=100)
        while True:
            found = await operator.call("ListStops", request)
            held |= {state.stop.stop_id for state in found.stops}
            request.page_token = found.next_page_token
            if not request.page_token:
                break
        assert set(issued) <= held


async def test_a_disk_that_takes_no_more_takes_leave_to_move_away_and_not_the_stop(home: Path, tmp_path: Path) -> None:
    """No file of the process may grow, which is what a full disk looks like to SQLite."""
    config = write_config(home, tmp_path)
    async with serving(home, config) as (site, process):
        gateway, operator = await site.gateway(), await site.operator()
        await gateway.exchanged(session(A))
        assert (await gateway.lease(1)).ttl.seconds == 2
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        await await_health(config, process, False)
        assert (await gateway.lease(2)).reason == "JOURNAL_UNAVAILABLE"
        stream = operator.stop(vehicles(A))
        first = await stream.next()
        assert (await gateway.frame("stop_set", 2)).stop_set.stops[0].stop_id == first.stop.stop_id
        await gateway.say(A, first.stop.stop_id, RECEIVED, BRAKING, STANDSTILL)
        standing = await stream.until(lambda answer: answer.summary.standstill == 1)
        assert (standing.summary.confirmed, standing.summary.journaled_by) == (False, 0)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        assert (await stream.last()).summary.confirmed, "written as soon as there is room"
        assert (await gateway.lease(3)).ttl.seconds == 2


async def test_a_second_process_on_the_same_journal_refuses(home: Path, tmp_path: Path) -> None:
    config = write_config(home, tmp_path)
    async with serving(home, config):
        code, words = await asyncio.to_thread(refusal, write_config(home, tmp_path))
    assert code == EXIT_CONFIG
    assert "in use by another command service" in words


async def test_a_taken_port_names_who_has_it(home: Path, tmp_path: Path) -> None:
    config = write_config(home, tmp_path)
    async with serving(home, config) as (site, process):
        (tmp_path / "other").mkdir()
        taken = write_config(home, tmp_path / "other", operator_address=f"127.0.0.1:{site.ports[0]}")
        code, words = await asyncio.to_thread(refusal, taken)
        assert code == EXIT_PORT_TAKEN
        assert f"pid {process.pid}" in words


def test_without_its_journal_it_refuses_and_says_what_to_do(home: Path, tmp_path: Path) -> None:
    code, words = refusal(write_config(home, tmp_path, first_start=False))
    assert code == EXIT_CONFIG
    assert "first_start = true" in words
    assert not (tmp_path / "journal.sqlite").exists()


def lose_journal(data: Path, left: bytes | None) -> None:
    for file in data.glob("journal.sqlite*"):
        if file.suffix not in (".started", ".lock"):
            file.unlink()
    if left is not None:
        (data / "journal.sqlite").write_bytes(left)


@pytest.mark.parametrize("left", [None, b""], ids=["removed", "cut off to nothing"])
async def test_a_journal_that_was_there_is_not_made_anew_by_itself(
    home: Path, tmp_path: Path, left: bytes | None
) -> None:
    config = write_config(home, tmp_path)
    async with serving(home, config):
        pass
    lose_journal(tmp_path, left)
    code, words = await asyncio.to_thread(refusal, config)
    assert code == EXIT_CONFIG
    assert "journal.sqlite.started" in words


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ("UPDATE journal SET event = replace(event, CAST('operator' AS BLOB), CAST('nobody00' AS BLOB))", "changed"),
        ("DELETE FROM journal WHERE sequence = 1", "record 1 is missing"),
        ("DELETE FROM journal WHERE sequence = (SELECT max(sequence) FROM journal)", "was written"),
    ],
)
async def test_tampering_with_the_journal_shows(home: Path, tmp_path: Path, tampering: str, words: str) -> None:
    config = write_config(home, tmp_path)
    async with serving(home, config) as (site, process):
        await (await site.operator()).stopped(FLEET)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as journal, journal:
        journal.execute(tampering)
    code, said = await asyncio.to_thread(refusal, config)
    assert code == EXIT_CONFIG
    assert words in said
    assert "Restore it from a copy" in said


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"jurnal": "x"}, EXIT_CONFIG, 'did you mean "journal"?'),
        ({"approvals": 3}, EXIT_CONFIG, "approvals"),
        ({"lease_ttl_s": 0.1}, EXIT_CONFIG, "lease_ttl_s"),
        ({"peers": ["127.0.0.1:1"]}, EXIT_CONFIG, "peers"),
        ({"jwks": "/nowhere/jwks.json"}, EXIT_MISSING, "/nowhere/jwks.json"),
    ],
)
def test_wrong_settings_are_named(home: Path, tmp_path: Path, changes: Any, code: int, words: str) -> None:
    found, said = refusal(write_config(home, tmp_path, **changes))
    assert (found, words in said) == (code, True), said


def test_a_foreign_database_is_not_taken_for_a_journal(home: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as foreign, foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    code, words = refusal(write_config(home, tmp_path))
    assert (code, "no journal" in words) == (EXIT_CONFIG, True), words

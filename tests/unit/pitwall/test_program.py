"""How a service's process ends: its exit code, what it says, and that whatever began is ended."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from pitwall import program
from pitwall.config import ServiceSettings
from pitwall.exits import EXIT_CONFIG, EXIT_FAILED, EXIT_MISSING, EXIT_PORT_TAKEN
from pitwall.rpc.ports import PortTaken
from pitwall.tls import InvalidCredentials


class Unfit(Exception):
    """The data is of another version."""


class SomeSettings(ServiceSettings):
    service: ClassVar[str] = "some"


class SomeService:
    """Fails at the start, or while it runs; or waits to be told to stop."""

    def __init__(self, at_start: Exception | None = None, running: Exception | None = None) -> None:
        self._at_start, self._running = at_start, running
        self.stopped = False

    async def start(self) -> None:
        if self._at_start is not None:
            raise self._at_start

    async def run(self, stopping: asyncio.Event) -> None:
        if self._running is not None:
            raise self._running
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stopping.wait(), 5)

    async def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("pitwall.observability.start", lambda package, name: None)
    monkeypatch.setattr("pitwall.logs.configure", lambda package, name: None)
    path = tmp_path / "some.toml"
    path.write_text('name = "some-1"\n', encoding="utf-8")
    return path


def ended(config: Path, service: SomeService) -> int:
    arguments = ["--config", str(config)]
    return program.main("some", "Does something.", SomeSettings, lambda _: service, unfit=(Unfit,), arguments=arguments)


def test_told_to_end_it_stops_and_ends_well(config: Path) -> None:
    service = SomeService()
    assert ended(config, service) == 0
    assert service.stopped


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Unfit("made by a later version"), EXIT_CONFIG, "made by a later version"),
        (PortTaken("localhost:1", "pid 7"), EXIT_PORT_TAKEN, "localhost:1"),
        (InvalidCredentials("jwks.json: no key set"), EXIT_MISSING, "jwks.json: no key set"),
        (FileNotFoundError("own.pem"), EXIT_MISSING, "own.pem"),
        (KeyError("a defect"), EXIT_FAILED, ""),
    ],
)
def test_why_it_does_not_start_is_its_exit_code(
    config: Path, capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    service = SomeService(at_start=error)
    assert ended(config, service) == code
    assert said in capsys.readouterr().err
    assert not service.stopped, "it leaves nothing behind by itself"


def test_what_ends_by_a_defect_is_stopped_too(config: Path) -> None:
    service = SomeService(running=RuntimeError("half of it is gone"))
    assert ended(config, service) == EXIT_FAILED
    assert service.stopped


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError("gone"), FileNotFoundError("own.pem")])
def test_an_os_error_while_it_runs_is_no_file_that_is_missing(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    logged: list[BaseException | None] = []
    monkeypatch.setattr(program._log, "exception", lambda _: logged.append(sys.exception()))
    service = SomeService(running=error)
    assert ended(config, service) == EXIT_FAILED
    assert service.stopped
    [ending] = logged
    assert ending is not None
    assert ending.__cause__ is error


def test_a_name_that_is_none_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('name = "Some One"\n', encoding="utf-8")
    with pytest.raises(SystemExit) as ending:
        ended(config, SomeService())
    assert ending.value.code == EXIT_CONFIG
    assert "\"name\" = 'Some One'" in capsys.readouterr().err


async def test_when_one_part_ends_the_others_are_ended() -> None:
    others = [asyncio.ensure_future(asyncio.Event().wait()) for _ in range(2)]

    async def defect() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        await program.together([*others, defect()])
    assert all(other.cancelled() for other in others)

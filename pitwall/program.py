"""What `python -m SERVICE --config FILE` does: settings, logs, a loop until SIGTERM, an exit code that says why."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import uvloop

from pitwall import logs, observability
from pitwall.config import ServiceSettings
from pitwall.exits import EXIT_CONFIG, EXIT_FAILED, EXIT_MISSING, EXIT_PORT_TAKEN
from pitwall.rpc.ports import PortTaken
from pitwall.tls import InvalidCredentials

_S = TypeVar("_S", bound=ServiceSettings)
_log = logs.get(__name__)


class _Broken(Exception):
    """`run` has failed with an OSError, which is no file that is missing. Its cause says more."""


class Service(Protocol):
    """Made within the event loop; `stop` follows on `start`, however `run` ends."""

    async def start(self) -> None: ...

    async def run(self, stopping: asyncio.Event) -> None: ...

    async def stop(self) -> None: ...


def main(
    package: str,
    what: str | None,
    settings: type[_S],
    make: Callable[[_S], Service],
    *,
    unfit: tuple[type[Exception], ...] = (),
    arguments: Sequence[str] | None = None,
) -> int:
    """The exit code. `what`: for --help. `unfit`: what the service raises where its data does not fit its settings."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=what)
    parser.add_argument("--config", type=Path, required=True, help="TOML file")
    loaded = settings.load(parser.parse_args(arguments).config)
    logs.configure(package, loaded.name)
    observability.start(package, loaded.name)
    try:
        uvloop.run(_serve(lambda: make(loaded)))
    except unfit as error:
        return _refused(error, EXIT_CONFIG)
    except PortTaken as error:
        return _refused(error, EXIT_PORT_TAKEN)
    except (InvalidCredentials, OSError) as error:
        return _refused(error, EXIT_MISSING)
    except Exception:  # noqa: BLE001 - the last line of defence: the log has it, the supervisor starts anew
        _log.exception("ended by a defect")
        return EXIT_FAILED
    return 0


def _refused(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code


async def _serve(make: Callable[[], Service]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    service = make()
    await service.start()
    try:
        await _run(service, stopping)
    finally:
        await service.stop()


async def _run(service: Service, stopping: asyncio.Event) -> None:
    try:
        await service.run(stopping)
    except PortTaken:
        raise
    except OSError as error:  # a TimeoutError is one too
        raise _Broken(f"{type(error).__name__} while it ran") from error


async def together(works: Iterable[Awaitable[object]]) -> None:
    """Until one ends; then none is left. Raises what that one has raised: better a new process than half a one."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()

"""``python -m deploy.local up|down|run|clean``: what the Makefile calls. Flags win over the environment."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

from deploy.local import lifecycle
from deploy.local.clean import clean
from deploy.local.errors import StackError, UsageError
from deploy.local.options import Server, StackOptions
from deploy.local.ports import Ports, changes_from
from deploy.local.watch import run, say
from pitwall.exits import EXIT_FAILED

_T = TypeVar("_T", int, float)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or that of the StackError whose text is printed."""
    parsed = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        _COMMANDS[parsed.command](options_from(parsed, os.environ))
    except StackError as error:
        print(f"{parsed.command}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{parsed.command}: {error}; check who owns that path and whether the disk is full", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def options_from(parsed: argparse.Namespace, environment: Mapping[str, str]) -> StackOptions:
    """Make passes its variables through the environment: VEHICLES, RATE_HZ, TIME_SCALE, SEED, REPLAY, PITWALL_HOME."""

    def value(name: str, kind: Callable[[str], _T], default: _T) -> _T:
        text = environment.get(name) or str(default)
        try:
            return kind(text)
        except ValueError:
            raise UsageError(f'{name}="{text}" is not a number; give one, or leave it out for {default}') from None

    offset = parsed.port_offset if parsed.port_offset is not None else value("PITWALL_PORT_OFFSET", int, 0)
    replay = environment.get("REPLAY")
    return StackOptions(
        home=Path(parsed.home or environment.get("PITWALL_HOME") or ".pitwall").absolute(),
        ports=Ports.shifted(offset, changes_from(parsed.port, environment)),
        vehicles=value("VEHICLES", int, 12),
        rate_hz=value("RATE_HZ", float, 1.0),
        time_scale=value("TIME_SCALE", float, 1.0),
        seed=value("SEED", int, 1),
        replay=Path(replay).absolute() if replay else None,
        gateways=parsed.gateways,
        command_services=parsed.command_services,
        servers=frozenset(Server(name) for name in parsed.servers),
    )


def _up(options: StackOptions) -> None:
    lifecycle.up(options, say)


def _down(options: StackOptions) -> None:
    lifecycle.down(options.home)
    say(f"nothing of {options.home} runs")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A closed terminal or a plain kill stops the stack as Ctrl-C does."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy.local", description=__doc__)
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument("--home", help="where the stack lives (PITWALL_HOME, else .pitwall)")
    parser.add_argument("--port-offset", type=int, help="added to every default port (PITWALL_PORT_OFFSET)")
    parser.add_argument("--port", action="append", default=[], metavar="NAME=NUMBER", help="moves one port")
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--command-services", type=int, default=3)
    parser.add_argument("--servers", nargs="*", default=list(Server), choices=list(Server))
    return parser


_COMMANDS: Mapping[str, Callable[[StackOptions], None]] = {"up": _up, "down": _down, "run": run, "clean": clean}

if __name__ == "__main__":
    sys.exit(main())

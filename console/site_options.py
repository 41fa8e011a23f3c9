"""The options that commands share, written once: --server, --ca, --token-file, --output; --fleet-server where a command
asks servers of both kinds.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, Concatenate, cast

import typer

from console.failures import UsageProblem
from console.site import Output, Site, SiteOptions, find_site

_OUTPUT = typer.Option("--output", "-o", help="A table for people, or lines of JSON for programs.")
_TRIED = "several, also with commas, are tried in turn"
_SERVER = typer.Option(help=f"HOST:PORT of a command service; {_TRIED}. [$PITWALL_SERVER]")
_FLEET_SERVER = typer.Option(help=f"HOST:PORT of a fleet service; {_TRIED}. [$PITWALL_FLEET_SERVER]")
_CA = typer.Option(help="The certificate authority's PEM file. [$PITWALL_CA]")
_TOKEN_FILE = typer.Option(help="The file with your token. [$PITWALL_TOKEN_FILE]")


class Asks(Enum):
    """Servers of which kind a command asks: those that --server names, and whether --fleet-server names others."""

    COMMAND = auto()
    FLEET = auto()
    BOTH = auto()


def _shared(asks: Asks) -> list[inspect.Parameter]:
    servers = {"server": _FLEET_SERVER if asks is Asks.FLEET else _SERVER}
    if asks is Asks.BOTH:
        servers["fleet_server"] = _FLEET_SERVER
    return [
        _parameter("output", Annotated[Output, _OUTPUT], Output.table),
        *(_parameter(name, Annotated[list[str] | None, option]) for name, option in servers.items()),
        _parameter("ca", Annotated[Path | None, _CA]),
        _parameter("token_file", Annotated[Path | None, _TOKEN_FILE]),
    ]


def _parameter(name: str, annotation: object, default: object = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_site(
    command: Callable[Concatenate[Site, ...], int], role: str = "operator", asks: Asks = Asks.COMMAND
) -> Callable[..., None]:
    """Makes a typer command of a function that takes a Site first and returns the exit code.

    `role`: whose token is the default.
    """
    shared = _shared(asks)

    @functools.wraps(command)
    def wrapper(**given: object) -> None:
        site = find_site(_options(given, asks), role)
        context = cast("typer.Context | None", given.get("context"))
        if context is not None and context.invoked_subcommand is not None:
            _refuse_options(context, context.invoked_subcommand)
            return
        raise typer.Exit(command(site, **given))

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    wrapper.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    # Else typer would look at the function within, which has none of them.
    del wrapper.__wrapped__
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return wrapper


def _refuse_options(context: typer.Context, following: str) -> None:
    """Options of a group would be lost on the command that follows it."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            flag = f"--{name.replace('_', '-')}"
            raise UsageProblem(f"{flag} stands before {following}", fix=f"write it behind {following}, if it takes it")


def _options(given: dict[str, object], asks: Asks) -> SiteOptions:
    """Takes what is shared out of what typer has parsed."""
    servers, fleet_servers = (
        tuple(cast("Sequence[str] | None", given.pop(name, None)) or ()) for name in ("server", "fleet_server")
    )
    if asks is Asks.FLEET:
        servers, fleet_servers = (), servers
    return SiteOptions(
        servers=servers,
        fleet_servers=fleet_servers,
        ca=cast("Path | None", given.pop("ca")),
        token_file=cast("Path | None", given.pop("token_file")),
        output=cast("Output", given.pop("output")),
    )

"""A failed call in plain words: what, why as far as it can be found out here, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import starmap
from typing import cast

import grpc

from console.failures import ConsoleError, UsageProblem
from console.own_token import describe_token
from console.site import Site
from pitwall.rpc.errors import ErrorDetails, from_rpc_error

#: Codes that gRPC itself gives where a server is away, hung or going. With a reason they are a servicer's answer.
_AWAY_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


class Asked(Enum):
    """Who was asked, in words."""

    COMMAND = "command service"
    FLEET = "fleet service"


#: What goes on without a fleet service.
WITHOUT_FLEET_SERVICE = "stops and releases go on without it; `pitwall motion` has each vehicle's motion state"


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call at one server failed. `connected`: the call may have got there."""

    server: str
    details: ErrorDetails
    connected: bool = True
    asked: Asked = Asked.COMMAND

    @property
    def away(self) -> bool:
        """It is the connection that failed, not the request: another server may do it."""
        return self.details.code in _AWAY_CODES and not self.details.reason

    @property
    def full(self) -> bool:
        """gRPC itself turned the call down for want of room, before anybody looked at it."""
        exhausted = self.details.code is grpc.StatusCode.RESOURCE_EXHAUSTED and not self.details.reason
        return exhausted and "larger than max" not in self.details.message


class RpcFailed(Exception):
    """Carries a Failure from where it happened to where it is explained."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.details.message)
        self.failure = failure


def read_failure(error: grpc.RpcError, server: str, asked: Asked = Asked.COMMAND) -> Failure:
    """What gRPC raised, read. An error of the synchronous API has the same methods as one of grpc.aio."""
    details = from_rpc_error(cast("grpc.aio.AioRpcError", error))
    return Failure(server, details, "failed to connect" not in details.message, asked)


def explain(failure: Failure, site: Site) -> ConsoleError:
    """A server's answer, as an error to show."""
    details = failure.details
    code = str(details.code.name)
    if details.code is grpc.StatusCode.INVALID_ARGUMENT:
        return _wrong_argument(details)
    return ConsoleError(
        f"{_said(details, failure.server)}{_with_reason(details)}",
        fix=_fix(failure, site),
        reason=details.reason or code,
        code=code,
        may_have_happened=details.may_have_happened if details.reason else None,
    )


def explain_unreachable(away: Sequence[Failure], site: Site, *, changes: bool) -> ConsoleError:
    """Nobody answered. `changes`: the call would have changed something, so it matters whether it got there."""
    causes = [(failure.server, cause_of(failure, site)) for failure in away]
    got_there = any(failure.connected for failure in away) if changes else None
    asked = away[0].asked if away else Asked.COMMAND
    return unreachable(causes, site, may_have_happened=got_there, asked=asked)


def unreachable(
    causes: Sequence[tuple[str, str]],
    site: Site,
    *,
    may_have_happened: bool | None,
    asked: Asked = Asked.COMMAND,
) -> ConsoleError:
    """Names each address with its cause."""
    meanwhile = f"{WITHOUT_FLEET_SERVICE}. To have it back, " if asked is Asked.FLEET else ""
    return ConsoleError(
        f"no {asked.value} answered: " + "; ".join(starmap(with_address, causes)),
        fix=f"{meanwhile}see whether the site runs (`make up`, logs in {site.home / 'logs'}), run `pitwall doctor`, "
        "or name other addresses with --server",
        reason=f"NO_{asked.name}_SERVICE",
        code="UNAVAILABLE",
        may_have_happened=may_have_happened,
    )


def cause_of(failure: Failure, site: Site) -> str:
    """Why a call failed: below the servicer gRPC says little, so the cause is looked for here. May take 6 s."""
    if not failure.away:
        return failure.details.message or failure.details.code.name
    if failure.details.code is grpc.StatusCode.DEADLINE_EXCEEDED and failure.connected:
        return "connected, but no answer in time: it hangs or is overloaded"
    # Loads a library for certificates that a stop starts faster without.
    from pitwall.connect_failure import explain_connect_failure

    return explain_connect_failure(failure.server, site.ca)


def with_address(server: str, cause: str) -> str:
    """The cause, with the address in it."""
    return cause if server in cause else f"{server}: {cause}"


def _wrong_argument(details: ErrorDetails) -> UsageProblem:
    named = [f"{field}: {text}" for field, text in details.fields.items() if text not in details.message]
    problem = UsageProblem("; ".join([details.message, *named]) + _with_reason(details))
    problem.code, problem.reason = "INVALID_ARGUMENT", details.reason or "INVALID_ARGUMENT"
    return problem


def _said(details: ErrorDetails, server: str) -> str:
    if details.code is grpc.StatusCode.UNIMPLEMENTED:
        return f"{server} doesn't serve this: {details.message}"
    return details.message or f"{server} answered {details.code.name} without a word"


def _with_reason(details: ErrorDetails) -> str:
    return f" [{details.reason}]" if details.reason else ""


def _fix(failure: Failure, site: Site) -> str:
    details = failure.details
    match details.code:
        case grpc.StatusCode.UNAUTHENTICATED:
            return f"{describe_token(site.token_file)}; `make up` renews a local stack's, --token-file names another"
        case grpc.StatusCode.PERMISSION_DENIED:
            return f"{describe_token(site.token_file)}; name the token of somebody who may with --token-file"
        case grpc.StatusCode.UNAVAILABLE if failure.asked is Asked.FLEET:
            return f"`pitwall doctor` finds what it waits for; {WITHOUT_FLEET_SERVICE}"
        case grpc.StatusCode.RESOURCE_EXHAUSTED if failure.full:
            return f"the {failure.asked.value} has as many calls open as it takes; see whose they are, and try again"
        case grpc.StatusCode.RESOURCE_EXHAUSTED if not details.reason:
            return "the request or the answer is too big; name fewer vehicles at once, or use --all"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"bring console and {failure.asked.value} to versions that belong together"
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN:
            return f"this is a defect of the {failure.asked.value}; its log in {site.home / 'logs'} has the rest"
    return ""

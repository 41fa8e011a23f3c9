"""How calls end: errors become canonical statuses, unary calls end in time."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import grpc

from pitwall.rpc.around import Around, CallInfo, Context
from pitwall.rpc.callers import person_or_none
from pitwall.rpc.errors import (
    MAY_HAVE_HAPPENED,
    STATUS_DETAILS_KEY,
    DeadlineExceeded,
    PitwallError,
    Unimplemented,
    to_status,
)
from pitwall.tokens import Person

#: For a unary call whose caller set no deadline, and the most that a caller gets.
DEFAULT_DEADLINE_S: Final = 10.0
MAX_DEADLINE_S: Final = 70.0
#: How long after the caller's deadline the servicer is stopped from here, should gRPC not have done it.
SLACK_S: Final = 0.5

assert DEFAULT_DEADLINE_S <= MAX_DEADLINE_S

_log = logging.getLogger(__name__)

#: (method, person or None, reason, message); called in the event loop: quick, bounded, never raising.
OnRefused = Callable[[str, Person | None, str, str], None]


class ErrorInterceptor(Around):
    """Answers a PitwallError with its status and details, anything unexpected with INTERNAL and an incident id."""

    def __init__(self, on_refused: OnRefused | None = None) -> None:
        """`on_refused` hears of every PitwallError: for the audit, and for counting."""
        self._on_refused = on_refused

    @asynccontextmanager
    async def around(self, call: CallInfo, context: Context) -> AsyncIterator[None]:
        try:
            yield
        except PitwallError as error:
            if self._on_refused is not None:
                self._on_refused(call.method, person_or_none(), error.reason, error.message)
            await abort_with(context, error)
        except NotImplementedError:  # raised by the generated base of a servicer
            await abort_with(context, _unimplemented(call.method))
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # the last line of defence; nothing of it leaks to the caller
            if context.done():
                raise _gone(call.method) from error
            incident = uuid.uuid4().hex[:12]
            _log.exception("%s failed, incident %s", call.method, incident)
            await abort_with(context, _internal(incident))


def _unimplemented(method: str) -> PitwallError:
    message = f"{method} is in the contract and not served here yet"
    return Unimplemented("UNIMPLEMENTED", message, metadata={MAY_HAVE_HAPPENED: "false"})


def _internal(incident: str) -> PitwallError:
    message = f"unexpected error, incident {incident}; the server's log has the details"
    return PitwallError(
        grpc.StatusCode.INTERNAL, "INTERNAL", message, metadata={"incident": incident, MAY_HAVE_HAPPENED: "true"}
    )


async def abort_with(context: Context, error: PitwallError) -> None:
    status = to_status(error)
    trailers = ((STATUS_DETAILS_KEY, status.SerializeToString()),)
    try:
        await context.abort(error.code, status.message, trailers)
    except grpc.aio.InternalError as failed:
        raise _gone(error.reason) from failed


def _gone(what: str) -> asyncio.CancelledError:
    """The caller has hung up meanwhile: grpc.aio takes this for the end of the call and says nothing in the log."""
    return asyncio.CancelledError(f"{what}: the caller is gone")


class DeadlineInterceptor(Around):
    """Ends unary calls after the caller's deadline, at most `maximum_s`; `default_s` where the caller set none.

    Streams live as long as the link; their servicers bound themselves.
    """

    def __init__(self, default_s: float = DEFAULT_DEADLINE_S, maximum_s: float = MAX_DEADLINE_S) -> None:
        self._default_s, self._maximum_s = default_s, maximum_s

    @asynccontextmanager
    async def around(self, call: CallInfo, context: Context) -> AsyncIterator[None]:
        if not call.unary:
            yield
            return
        limit_s = self._limit_s(context)
        scope = asyncio.timeout(limit_s)
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlineExceeded(
                "DEADLINE_EXCEEDED",
                f"not done within {limit_s:.1f} s; look before you repeat it",
                metadata={MAY_HAVE_HAPPENED: "true"},
            ) from error

    def _limit_s(self, context: Context) -> float:
        remaining_s: float | None = context.time_remaining()
        # At the caller's own deadline gRPC cancels the call. Coming a moment later leaves that to it.
        return self._default_s if remaining_s is None else min(remaining_s + SLACK_S, self._maximum_s)

"""Places on an operators' port: no caller can take them all, and a stop always finds one.

gRPC counts a call from its headers on, and a caller may open thousands without ever sending a request. So requests are
awaited here, in front of everything else: for REQUEST_WITHIN_S at most, and beyond MAX_WAITING calls the oldest makes
way for a new one; an honest request comes with its headers, so a call younger than GRACE_S makes way only beyond
MAX_WAITING_AT_ONCE. What has its request runs in one of MAX_OTHERS places. Methods that are reserved for wait by
themselves and are refused by nothing here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from opentelemetry import metrics

from pitwall.rpc.around import Context, Handler, Wrapping, behaviour_of
from pitwall.rpc.errors import MAY_HAVE_HAPPENED, DeadlineExceeded, InvalidArgument, PitwallError, ResourceExhausted
from pitwall.rpc.outcomes import abort_with
from pitwall.rpc.streams import read

#: A call whose request has not come by then is ended, seconds.
REQUEST_WITHIN_S: Final = 5.0
#: Calls that may wait for their requests, once for reserved methods and once for the others.
MAX_WAITING: Final = 256
#: So young a call is spared, seconds: in a burst its request may be here already and not read yet,
GRACE_S: Final = 0.1
#: up to so many calls, which is the bound.
MAX_WAITING_AT_ONCE: Final = 700
#: Calls of methods that are not reserved for, under way at one time.
MAX_OTHERS: Final = 2_000

#: Whatever else is full, people can stop vehicles.
RESERVED: Final = frozenset({"/haul.command.v1.CommandService/EmergencyStop"})

assert MAX_WAITING < MAX_WAITING_AT_ONCE
assert GRACE_S < REQUEST_WITHIN_S

_NOT_DONE: Final = {MAY_HAVE_HAPPENED: "false"}


class _Share:
    """The places of some methods. `most`: calls under way; None where nothing here limits them."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._waiting: dict[asyncio.Timeout, float] = {}  # since when, oldest first
        self._running = 0

    async def request(self, context: Context) -> Any:
        """The one request of a call. Raises PitwallError where it does not come, or not in time."""
        now_s = asyncio.get_running_loop().time()
        self._make_way(now_s)
        scope = asyncio.timeout(REQUEST_WITHIN_S)
        try:
            async with scope:
                self._waiting[scope] = now_s
                request: Any = await read(context)
        except TimeoutError as error:
            text = f"no request within {REQUEST_WITHIN_S:g} s, or too many calls wait for theirs; send it at once"
            raise DeadlineExceeded("REQUEST_MISSING", text, metadata=_NOT_DONE) from error
        except DecodeError as error:
            raise InvalidArgument("MALFORMED_REQUEST", f"the request can't be read: {error}") from error
        finally:
            self._waiting.pop(scope, None)
        if request is None:
            raise InvalidArgument("REQUEST_MISSING", "the call has ended without a request; send one")
        return request

    def _make_way(self, now_s: float) -> None:
        """For one more."""
        while len(self._waiting) >= MAX_WAITING:
            oldest, since_s = next(iter(self._waiting.items()))
            if now_s - since_s < GRACE_S and len(self._waiting) < MAX_WAITING_AT_ONCE:
                return
            del self._waiting[oldest]
            if not oldest.expired():
                oldest.reschedule(now_s)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises ResourceExhausted where there is none."""
        if self._most is not None and self._running >= self._most:
            text = f"{self._most:,} calls are under way here; close streams that nobody reads, or ask another server"
            raise ResourceExhausted("TOO_MANY_CALLS", text, metadata=_NOT_DONE)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


class PlacesInterceptor(Wrapping):
    """To stand before all others: to them every request has come already."""

    def __init__(self, reserved: frozenset[str] = RESERVED) -> None:
        self._reserved = reserved
        self._stops, self._others = _Share(None), _Share(MAX_OTHERS)
        self._refused = metrics.get_meter("pitwall.rpc").create_counter(
            "pitwall.rpc.places.refused", unit="{call}", description="Calls that found no place, by method and reason"
        )

    def _wrap(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """The same to its caller; to gRPC a stream of requests, of which one is read where the method takes one."""
        method = details.method
        share = self._stops if method in self._reserved else self._others
        one, streams = not handler.request_streaming, bool(handler.response_streaming)
        behaviour, _ = behaviour_of(handler)

        async def serve(requests: Any, context: Context) -> Any:
            try:
                request = await share.request(context) if one else requests
                async with share.place():
                    return await behaviour(request, context)
            except PitwallError as error:
                self._refused.add(1, {"grpc.method": method.removeprefix("/"), "reason": error.reason})
                await abort_with(context, error)

        make = grpc.stream_stream_rpc_method_handler if streams else grpc.stream_unary_rpc_method_handler
        return make(serve, handler.request_deserializer, handler.response_serializer)

"""What all our server interceptors have in common: something before and after a call, whatever its kind.

grpc.aio hands an interceptor a method handler of one of four kinds and two styles (a coroutine that reads and writes
by its context, or an async generator). `Around` wraps them all in one async context manager. A generator is driven by
a coroutine of ours, so that it is closed at once, and in the same task, when the client hangs up.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

#: grpc.aio's own types say no more: messages of any kind, in a context of any kind.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[[Any, Context], Any]


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One call, as known before its servicer runs."""

    #: "/haul.command.v1.CommandService/EmergencyStop"
    method: str
    metadata: tuple[tuple[str, str | bytes], ...]
    #: One request and one answer: it has to end soon.
    unary: bool
    #: A stream of requests: it lives as long as the link.
    client_streaming: bool

    def first(self, key: str) -> str | None:
        """The first text value of a metadata key."""
        return next((value for name, value in self.metadata if name == key and isinstance(value, str)), None)


class Wrapping(grpc.aio.ServerInterceptor, ABC):
    """Base of the interceptors that put something of theirs in the place of a handler."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        return None if handler is None else self._wrap(handler, handler_call_details)

    @abstractmethod
    def _wrap(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """What gRPC calls instead."""


class Around(Wrapping):
    """Base of the interceptors that do something before and after."""

    @abstractmethod
    def around(self, call: CallInfo, context: Context) -> AbstractAsyncContextManager[None]:
        """Entered before the servicer, left after it; sees what it raises."""

    def _wrap(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        call = CallInfo(
            details.method,
            tuple(details.invocation_metadata or ()),
            not handler.request_streaming and not handler.response_streaming,
            bool(handler.request_streaming),
        )
        behaviour, make = behaviour_of(handler)
        wrapped = self._streaming(call, behaviour) if handler.response_streaming else self._single(call, behaviour)
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _single(self, call: CallInfo, behaviour: Behaviour) -> Behaviour:
        async def answer(request: Any, context: Context) -> Any:
            async with self.around(call, context):
                return await behaviour(request, context)

        return answer

    def _streaming(self, call: CallInfo, behaviour: Behaviour) -> Behaviour:
        async def stream(request: Any, context: Context) -> None:
            async with self.around(call, context):
                if not inspect.isasyncgenfunction(behaviour):
                    await behaviour(request, context)
                    return
                async with aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        await context.write(answer)

        return stream


def behaviour_of(handler: Handler) -> tuple[Behaviour, Callable[..., Handler]]:
    """What a handler runs, and what makes a handler of its kind."""
    kind, make = _KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
    return getattr(handler, kind), make


_KINDS: dict[tuple[bool, bool], tuple[str, Callable[..., Handler]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}

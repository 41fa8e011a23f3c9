"""What the streams of gateways and of peers have in common: limits, a first frame in time, an end that is told."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from pitwall.rpc.errors import DeadlineExceeded, InvalidArgument, PermissionDenied, Unavailable
from pitwall.rpc.interceptors import current_identity
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.streams import Readable, read

#: Of both kinds of link. A version understands the one before and the one behind.
PROTOCOL_VERSION: Final = 1
#: A hello or a frame may hold a whole stop set; a dead other end is found in 4 s.
LINK_LIMITS: Final = RpcLimits(
    max_receive_bytes=32 * 1024 * 1024, max_concurrent_rpcs=200, keepalive_time_s=2.0, keepalive_timeout_s=2.0
)
#: How long the other end may take for its first frame, seconds.
HELLO_TIMEOUT_S: Final = 5.0
#: One that doesn't read for so long is cut off, seconds.
WRITE_STALL_S: Final = 5.0

_T = TypeVar("_T")


async def first_frame(stream: Readable[_T]) -> _T | None:
    """None where the stream ends before it."""
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            return await read(stream)
    except TimeoutError as error:
        raise DeadlineExceeded("NO_HELLO", f"no frame within {HELLO_TIMEOUT_S:g} s; send hello first") from error


def check_hello(name: str, protocol_version: int) -> None:
    """That it is from whom the certificate says, and in words that this version knows. Raises what the caller hears."""
    identity = current_identity()
    if name != identity.name:
        text = f"hello names {identity.kind} {name!r}, the certificate {identity.name!r}"
        raise PermissionDenied("WRONG_NAME", text)
    if protocol_version > PROTOCOL_VERSION + 1:
        raise InvalidArgument(
            "PROTOCOL_VERSION",
            f"version {protocol_version} is newer than {PROTOCOL_VERSION}; update the command services first",
            fields={"hello.protocol_version": f"at most {PROTOCOL_VERSION + 1}"},
        )


async def side_by_side(stopping: asyncio.Event, *works: Coroutine[Any, Any, object]) -> None:
    """Until one of them ends, and then none goes on. Raises what it raised; Unavailable when this service stops."""
    tasks = [asyncio.create_task(work) for work in (*works, stopping.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
    if stopping.is_set():
        raise Unavailable("STOPPING", "this command service is stopping; it will be back")

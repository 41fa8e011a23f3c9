"""Typed reads: grpc.aio answers grpc.aio.EOF, which its stubs hide, at the end of a stream."""

from typing import Protocol, TypeVar, cast

import grpc

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class Readable(Protocol[_T_co]):
    """A server's context or a client's call."""

    async def read(self) -> _T_co | object: ...


async def read(stream: Readable[_T]) -> _T | None:
    """The next message, None at the end of the stream.

    On a server an oversize message and a client that is gone look like the end too.
    """
    message = await stream.read()
    return None if message is grpc.aio.EOF else cast("_T", message)

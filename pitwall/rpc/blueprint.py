"""What a grpc.aio server is made of, so that another one can be made on the same port with the same servicers."""

import logging
from collections.abc import Callable
from traceback import walk_tb
from typing import Any, Final

import grpc

from pitwall.rpc.ports import PortTaken, is_taken, owner_of

#: Makes a server's credentials.
Credentials = Callable[[], grpc.ServerCredentials]

_GRPC: Final = "grpc._cython.cygrpc"
_SERVER_SOURCE: Final = "_cygrpc/aio/server.pyx.pxi"
#: What gRPC and asyncio have to say when a server ends over a call's path; RpcServer says it in a line of its own. gRPC
#: also has a traceback for each name and value of metadata that is no UTF-8, and goes on: anybody could fill a log.
_TOLD_ELSEWHERE: Final = (_GRPC, "asyncio")


class Blueprint:
    """Binds the first server of its kind. Raises PortTaken, and OSError for an address that is none of this computer.

    Servicers are added to `first`, as they always are; what they add is remembered.
    """

    def __init__(
        self,
        address: str,
        credentials: Credentials | None,
        interceptors: tuple[grpc.aio.ServerInterceptor, ...],
        options: tuple[tuple[str, int], ...],
        max_concurrent_rpcs: int,
    ) -> None:
        self._credentials, self._interceptors = credentials, interceptors
        self._options, self._max_concurrent_rpcs = options, max_concurrent_rpcs
        self._host = address.rpartition(":")[0]
        self._added: list[tuple[str, tuple[Any, ...]]] = []
        self.first = self._made()
        self.port = self._bind(self.first, address)
        for method in ("add_generic_rpc_handlers", "add_registered_method_handlers"):
            setattr(self.first, method, self._remembering(method, getattr(self.first, method)))
        for name in _TOLD_ELSEWHERE:
            logging.getLogger(name).addFilter(is_other_news)

    def again(self) -> grpc.aio.Server:
        """Another one, bound to the same port, with all that was added to the first. Raises OSError.

        Quick, because calls wait meanwhile: it does not look who has the port.
        """
        address = f"{self._host}:{self.port}"
        if is_taken(self._host.strip("[]"), self.port):
            raise OSError(f"{address} is taken")
        server = self._made()
        self._bind(server, address)
        for method, arguments in self._added:
            getattr(server, method)(*arguments)
        return server

    def _made(self) -> grpc.aio.Server:
        return grpc.aio.server(
            interceptors=list(self._interceptors),
            options=list(self._options),
            maximum_concurrent_rpcs=self._max_concurrent_rpcs,
        )

    def _remembering(self, method: str, add: Callable[..., None]) -> Callable[..., None]:
        def adding(*arguments: Any) -> None:
            self._added.append((method, arguments))
            add(*arguments)

        return adding

    def _bind(self, server: grpc.aio.Server, address: str) -> int:
        try:
            if self._credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self._credentials())
        except RuntimeError as error:  # all that gRPC says is that it failed
            host, _, port = address.rpartition(":")
            if is_taken(host.strip("[]"), int(port)):
                raise PortTaken(address, owner_of(int(port))) from error
            raise OSError(f"{address} can't be bound; name an address of this computer") from error


def is_other_news(record: logging.LogRecord) -> bool:
    """False for what is told elsewhere, or need not be told."""
    error = (record.exc_info[1] if record.exc_info else None) or record.msg
    if not isinstance(error, UnicodeDecodeError):
        return True
    return record.name != _GRPC and not _is_of_the_server(error)


def _is_of_the_server(error: BaseException) -> bool:
    """Whether it was raised where grpc.aio takes calls."""
    return any(frame.f_code.co_filename.endswith(_SERVER_SOURCE) for frame, _ in walk_tb(error.__traceback__))

"""The proxy breaks what it says it breaks, and nothing else."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.fault_proxy import FaultProxy


@pytest.fixture
def target() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def proxy(target: socket.socket) -> Iterator[FaultProxy]:
    with FaultProxy(f"127.0.0.1:{target.getsockname()[1]}") as proxy:
        yield proxy


def dial(proxy: FaultProxy) -> socket.socket:
    host, port = proxy.address.split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def connected(proxy: FaultProxy, target: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = dial(proxy)
    far, _ = target.accept()
    far.settimeout(5)
    return near, far


def test_it_forwards_both_ways(proxy: FaultProxy, target: socket.socket) -> None:
    near, far = connected(proxy, target)
    near.sendall(b"up")
    assert far.recv(10) == b"up"
    far.sendall(b"down")
    assert near.recv(10) == b"down"


def ended(end: socket.socket) -> bool:
    """Whether the connection is over, by a reset or by a clean end."""
    try:
        return end.recv(10) == b""
    except ConnectionError:
        return True


def test_a_cut_line_ends_and_is_refused_until_healed(proxy: FaultProxy, target: socket.socket) -> None:
    near, far = connected(proxy, target)
    proxy.cut()
    assert ended(near)
    assert ended(far)
    assert ended(dial(proxy))
    proxy.heal()
    near, far = connected(proxy, target)
    near.sendall(b"again")
    assert far.recv(10) == b"again"


def test_a_silent_line_holds_what_was_sent(proxy: FaultProxy, target: socket.socket) -> None:
    near, far = connected(proxy, target)
    near.sendall(b"1")
    assert far.recv(10) == b"1"
    proxy.silence()
    near.sendall(b"2")
    far.settimeout(0.2)
    with pytest.raises(TimeoutError):
        far.recv(10)
    proxy.heal()
    far.settimeout(5)
    assert far.recv(10) == b"2"

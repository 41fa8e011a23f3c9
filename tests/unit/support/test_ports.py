"""Ports that tests give out: each once, to one worker, and none that somebody has."""

import socket

from tests.support.ports import LOOPBACK, PORTS, free_port, free_ports, share


def test_a_port_is_given_out_once() -> None:
    given = [free_port() for _ in range(100)]
    assert len(set(given)) == 100
    assert set(given) <= set(PORTS)


def test_a_port_that_somebody_has_is_passed_over() -> None:
    with socket.create_server((LOOPBACK, free_port())) as listener:
        taken = listener.getsockname()[1]
        free = free_port()
        assert list(free_ports([taken, free])) == [free]


def test_workers_have_shares_of_their_own() -> None:
    assert set(share("gw0", 2)).isdisjoint(share("gw1", 2))
    assert len(share("gw0", 2)) + len(share("gw1", 2)) == len(share("", 1)) == len(PORTS)

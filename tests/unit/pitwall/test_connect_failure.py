"""What a client says that gets no connection: each cause on either side, by name and with the mend."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pitwall import connect_failure, devca
from pitwall.tls import explain_connect_failure
from tests.unit.pitwall.rig import Site, opened

VEHICLE = "KOMATSU-930E-001"
NOW = datetime.now(UTC)


@pytest.fixture
def short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_failure, "PROBE_TIMEOUT_S", 0.3)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Takes connections, as a hung process does, and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


class Files:
    """A vehicle's files of one site."""

    def __init__(self, home: Path, now: datetime = NOW) -> None:
        devca.ensure(home, vehicles=[VEHICLE], gateways=["gateway-1"], now=now)
        self.ca = home / "certs" / "ca.pem"
        self.certificate = home / "certs" / "vehicles" / f"{VEHICLE}.pem"
        self.key = home / "certs" / "vehicles" / f"{VEHICLE}.key"

    def explain(self, address: str = "127.0.0.1:1", now: datetime | None = None) -> str:
        return explain_connect_failure(address, self.ca, self.certificate, self.key, now=now)


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.certificate.unlink()
    assert f"{VEHICLE}.pem: can't be read: No such file" in files.explain()


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.certificate.write_text("nonsense")
    assert "no certificate in PEM" in files.explain()


def test_an_expired_certificate_is_told_with_its_end_and_the_clock(tmp_path: Path) -> None:
    text = Files(tmp_path).explain(now=NOW + timedelta(days=31))
    assert f"{VEHICLE}.pem expired at" in text
    assert "this computer's clock says" in text
    assert "renew" in text


def test_a_clock_that_is_far_behind_is_told(tmp_path: Path) -> None:
    text = Files(tmp_path).explain(now=NOW - timedelta(days=3))
    assert "is valid from" in text
    assert "set the clock" in text


def test_a_certificate_of_another_site_is_told(tmp_path: Path) -> None:
    own, other = Files(tmp_path / "own"), Files(tmp_path / "other")
    own.ca = other.ca
    assert "is not signed by" in own.explain()


def test_nobody_listening_is_told(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        assert f"nothing listens on {address}" in Files(tmp_path).explain(address)


@pytest.mark.usefixtures("short_probes")  # elsewhere a server that is merely slow would pass for one that hangs
def test_a_server_that_hangs_is_told(tmp_path: Path, listener: socket.socket) -> None:
    text = Files(tmp_path).explain(f"127.0.0.1:{listener.getsockname()[1]}")
    assert "then says nothing: the server hangs" in text


@pytest.mark.parametrize("address", ["no-such-host.invalid:1", "127.0.0.1:x", "127.0.0.1", ""])
def test_an_address_that_leads_nowhere_is_told(tmp_path: Path, address: str) -> None:
    assert "can't be reached" in Files(tmp_path).explain(address)


async def _against(server: Path, files: Files) -> str:
    """What `files` hear from the vehicle port of the site in `server`."""
    async with opened(server) as rpc:
        port = (await rpc.vehicle_port()).port
        return await asyncio.to_thread(files.explain, f"127.0.0.1:{port}")


async def test_a_server_of_another_site_is_told(tmp_path: Path) -> None:
    Files(tmp_path / "other")
    text = await _against(tmp_path / "other", Files(tmp_path / "own"))
    assert "is not trusted here" in text


async def test_a_certificate_that_the_server_refuses_is_told(tmp_path: Path) -> None:
    """The vehicle has the server's authority, the server another one for its clients."""
    own, other = Files(tmp_path / "own"), Files(tmp_path / "other")
    own.ca = other.ca
    text = await _probe_only(tmp_path / "other", own)
    assert "it refuses our certificate" in text


async def _probe_only(server: Path, files: Files) -> str:
    async with opened(server) as rpc:
        port = (await rpc.vehicle_port()).port
        return await asyncio.to_thread(
            connect_failure.explain_peer, f"127.0.0.1:{port}", files.ca, files.certificate, files.key
        )


async def test_a_fault_that_is_over_is_told(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert "answers over TLS now" in await _against(tmp_path, files)


async def test_a_client_with_a_token_needs_no_certificate(rpc: Site) -> None:
    server = await rpc.operator_port()
    ca = rpc.home / "certs" / "ca.pem"
    text = await asyncio.to_thread(explain_connect_failure, f"127.0.0.1:{server.port}", ca)
    assert "answers over TLS now" in text


async def test_a_client_without_a_certificate_on_a_port_that_wants_one_is_told(rpc: Site) -> None:
    server = await rpc.vehicle_port()
    ca = rpc.home / "certs" / "ca.pem"
    text = await asyncio.to_thread(explain_connect_failure, f"127.0.0.1:{server.port}", ca)
    assert "it refuses our certificate" in text

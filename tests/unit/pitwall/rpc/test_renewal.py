"""A running server shows a renewed certificate to the next connection, and keeps the ones that it has."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from haul.command.v1 import command_service_pb2 as command
from haul.command.v1 import command_service_pb2_grpc as command_grpc

from pitwall import devca, tls
from tests.unit.pitwall.rig import opened


async def _serial(home: Path, port: int) -> int:
    """Of the certificate that the server shows now."""
    context = ssl.create_default_context(cafile=str(home / "certs" / "ca.pem"))
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(shown).serial_number


async def test_a_renewed_certificate_is_shown_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "RELOAD_CHECK_S", 0.0)
    devca.ensure(tmp_path, commands=["command-1"], now=datetime.now(UTC) - timedelta(days=24))
    async with opened(tmp_path) as rpc:
        server = await rpc.operator_port()
        channel = rpc.operator_channel(server.port)
        await channel.channel_ready()
        before = await _serial(tmp_path, server.port)
        devca.ensure(tmp_path, commands=["command-1"])
        assert await _serial(tmp_path, server.port) != before
        stub = command_grpc.CommandServiceStub(channel)
        await stub.GetStop(command.GetStopRequest(), metadata=rpc.token("viewer"))

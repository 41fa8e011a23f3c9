"""The command service's API without a console in between, for what the console would not let one do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub


@contextmanager
def command_service(home: Path, address: str, token: str = "operator") -> Iterator[CommandServiceStub]:
    """A stub with the TLS and the token of the stack in `home`."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials((home / "certs" / "ca.pem").read_bytes()),
        grpc.access_token_call_credentials((home / "tokens" / token).read_text().strip()),
    )
    with grpc.secure_channel(address, credentials) as channel:
        yield CommandServiceStub(channel)

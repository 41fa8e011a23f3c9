"""Channels to our own servers, and how long to wait before the next try."""

import random
from typing import Final

import grpc

from pitwall.rpc.limits import DEFAULT_LIMITS, RpcLimits

MIN_BACKOFF_S: Final = 0.2
MAX_BACKOFF_S: Final = 2.0
#: How long gRPC lets one attempt to connect take, TCP and TLS together; a hung server accepts TCP and nothing more.
CONNECT_TIMEOUT_S: Final = 5.0

assert 0 < MIN_BACKOFF_S < MAX_BACKOFF_S < CONNECT_TIMEOUT_S


def open_channel(
    address: str,
    credentials: grpc.ChannelCredentials | None,
    limits: RpcLimits = DEFAULT_LIMITS,
    *,
    server_name: str | None = None,
) -> grpc.aio.Channel:
    """A channel of its own to one address; without credentials it is in clear text, for tests.

    Every channel has its own connection: closing it and opening another one takes up renewed certificates.
    `server_name`: the name to expect in the server's certificate where it is not the host of the address.
    """
    options: list[tuple[str, str | int]] = [*limits.options(), *_CONNECTION_OPTIONS]
    if server_name is not None:
        options.append(("grpc.ssl_target_name_override", server_name))
    if credentials is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, credentials, options)


_CONNECTION_OPTIONS: Final[list[tuple[str, str | int]]] = [
    # Shared by default between channels with equal arguments: a new channel would inherit an old backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # Retries are the caller's, who knows what may be repeated.
    ("grpc.enable_retries", 0),
    # A proxy set for the web must not stand in the stop path.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", round(MIN_BACKOFF_S * 1000)),
    ("grpc.max_reconnect_backoff_ms", round(MAX_BACKOFF_S * 1000)),
    ("grpc.min_reconnect_backoff_ms", round(CONNECT_TIMEOUT_S * 1000)),
]


def jitter_s(attempt: int, rng: random.Random | None = None) -> float:
    """Seconds to wait before try number `attempt` (from 1): random up to a ceiling that doubles, 0.2 s to 2 s.

    The randomness spreads a fleet that lost its gateway at one moment.
    """
    ceiling_s = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2 ** min(attempt, 10))
    return (rng or _RNG).uniform(MIN_BACKOFF_S, ceiling_s)


_RNG = random.Random()  # noqa: S311  # spreads load, guards nothing

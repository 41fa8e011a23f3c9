"""The interceptors of each kind of port, in their order: outermost first."""

from collections.abc import Mapping

import grpc

from pitwall.rpc.callers import (
    IdentityInterceptor,
    TokenInterceptor,
    current_identity,
    current_person,
    person_or_none,
)
from pitwall.rpc.measured import MetricsInterceptor, TraceInterceptor
from pitwall.rpc.outcomes import DeadlineInterceptor, ErrorInterceptor, OnRefused
from pitwall.rpc.places import PlacesInterceptor
from pitwall.tokens import TokenVerifier

__all__ = [
    "DeadlineInterceptor",
    "ErrorInterceptor",
    "IdentityInterceptor",
    "MetricsInterceptor",
    "OnRefused",
    "TokenInterceptor",
    "TraceInterceptor",
    "current_identity",
    "current_person",
    "operator_interceptors",
    "peer_interceptors",
    "person_or_none",
]


def operator_interceptors(
    verifier: TokenVerifier, on_refused: OnRefused | None = None, *, deadline: DeadlineInterceptor | None = None
) -> list[grpc.aio.ServerInterceptor]:
    """For a port with TLS and bearer tokens."""
    return [
        PlacesInterceptor(),
        TraceInterceptor(),
        MetricsInterceptor(),
        ErrorInterceptor(on_refused),
        TokenInterceptor(verifier),
        deadline or DeadlineInterceptor(),
    ]


def peer_interceptors(
    kinds: Mapping[str, frozenset[str]] | frozenset[str], on_refused: OnRefused | None = None
) -> list[grpc.aio.ServerInterceptor]:
    """For a port with mutual TLS: `kinds` of certificates, for all services or by full service name."""
    return [
        TraceInterceptor(),
        MetricsInterceptor(),
        ErrorInterceptor(on_refused),
        IdentityInterceptor(kinds),
        DeadlineInterceptor(),
    ]

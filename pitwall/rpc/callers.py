"""Who is calling: interceptors that find out, and refuse whoever may not."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from pitwall.rpc.around import Around, CallInfo, Context
from pitwall.rpc.errors import PermissionDenied, Unauthenticated
from pitwall.rpc.methods import PERMISSIONS, is_public
from pitwall.tls import Identity, peer_identity
from pitwall.tokens import Permission, Person, TokenVerifier

# Set once per call and never reset: grpc.aio runs every call in a task, and so in a context, of its own.
_person: ContextVar[Person | None] = ContextVar("person", default=None)
_identity: ContextVar[Identity | None] = ContextVar("identity", default=None)


def person_or_none() -> Person | None:
    return _person.get()


def current_person() -> Person:
    """The person whose token came with this call. Only within a call behind TokenInterceptor."""
    person = _person.get()
    if person is None:
        raise LookupError("no person: the call is not behind TokenInterceptor, or the method is public")
    return person


def current_identity() -> Identity:
    """The party whose certificate came with this call. Only within a call behind IdentityInterceptor."""
    identity = _identity.get()
    if identity is None:
        raise LookupError("no identity: the call is not behind IdentityInterceptor")
    return identity


class IdentityInterceptor(Around):
    """Lets in verified certificates of the kinds given: {"vehicle"}, or by service where two kinds share a port.

    A connection without any certificate ends in the TLS handshake already, where the port requires one.
    """

    def __init__(self, kinds: Mapping[str, frozenset[str]] | frozenset[str]) -> None:
        """`kinds`: the allowed ones, or a mapping of full service name to them."""
        self._kinds = kinds

    def _allowed(self, method: str) -> frozenset[str]:
        if isinstance(self._kinds, frozenset):
            return self._kinds
        return self._kinds.get(method.split("/")[1], frozenset())

    @asynccontextmanager
    async def around(self, call: CallInfo, context: Context) -> AsyncIterator[None]:
        if not is_public(call.method):
            _identity.set(self._identify(call.method, context))
        yield

    def _identify(self, method: str, context: Context) -> Identity:
        identity = peer_identity(context)
        if identity is None:
            raise Unauthenticated(
                "NO_IDENTITY", "the certificate has no spiffe://pitwall.local URI; use one of this site's CA"
            )
        allowed = self._allowed(method)
        if identity.kind not in allowed:
            raise PermissionDenied(
                "WRONG_KIND",
                f"{identity.uri} may not call {method}; it is for a {' or '.join(sorted(allowed)) or 'nobody'}",
            )
        return identity


class TokenInterceptor(Around):
    """Lets in persons whose roles cover the method (rpc/methods)."""

    def __init__(
        self,
        verifier: TokenVerifier,
        permissions: Mapping[str, frozenset[Permission]] = PERMISSIONS,
    ) -> None:
        self._verifier = verifier
        self._permissions = permissions

    @asynccontextmanager
    async def around(self, call: CallInfo, context: Context) -> AsyncIterator[None]:
        if not is_public(call.method):
            person = self._verifier.verify(_bearer(call))
            _person.set(person)
            self._check(person, call.method)
        yield

    def _check(self, person: Person, method: str) -> None:
        asked = self._permissions.get(method, frozenset())
        if any(person.may(permission) for permission in asked):
            return
        held = ", ".join(sorted(person.roles)) or "none"
        needed = " or ".join(sorted(permission.name for permission in asked)) or "a permission nobody has"
        raise PermissionDenied(
            "ROLE_MISSING", f"{person.subject} (roles: {held}) may not call {method}; it takes {needed}"
        )


def _bearer(call: CallInfo) -> str:
    header = call.first("authorization")
    if header is None:
        raise Unauthenticated("TOKEN_MISSING", 'send the metadata "authorization: Bearer <token>"')
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("TOKEN_MALFORMED", 'the metadata must read "authorization: Bearer <token>"')
    return token.strip()

"""Who an operator is, and what the roles in the token allow.

Tokens are JWTs: `iss` and `aud` "pitwall", `sub` the person, `roles`, at most 12 h to live, ES256,
keys from a JWKS file.
"""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Any, Final, Self

import jwt

from pitwall.clock import monotonic_s
from pitwall.rpc.errors import Unauthenticated
from pitwall.tls import InvalidCredentials

ISSUER: Final = "pitwall"
AUDIENCE: Final = "pitwall"
ALGORITHM: Final = "ES256"
#: Between the clocks of whoever issues tokens and ours.
LEEWAY_S: Final = 60
MAX_LIFETIME_S: Final = 12 * 3600
#: A token of ours has about 300 bytes; one from a directory with many groups a few kilobytes.
MAX_TOKEN_BYTES: Final = 8 * 1024
#: A person's name stands in every stop and audit record.
MAX_SUBJECT_CHARS: Final = 200
#: Tokens whose signature is known to be good. Checking it costs a third of a short call; beyond so many the one that
#: was used longest ago is checked again.
MAX_KNOWN: Final = 1_000
#: How often at most the key file's time is looked at.
KEYS_CHECK_S: Final = 1.0

_log = logging.getLogger(__name__)


class Role(StrEnum):
    VIEWER = auto()
    OPERATOR = auto()
    SUPERVISOR = auto()
    MAINTAINER = auto()


class Permission(Enum):
    """What a method asks for."""

    READ = auto()
    STOP = auto()
    REQUEST_RELEASE = auto()
    APPROVE_RELEASE = auto()
    SEND_ORDER = auto()
    ACKNOWLEDGE_ALERT = auto()
    #: SET_STATUS out of MAINTENANCE or ERROR.
    LEAVE_MAINTENANCE = auto()
    CHANGE_REGISTRY = auto()


_ALL = frozenset(Role)
_OPERATORS = frozenset({Role.OPERATOR, Role.SUPERVISOR})
_MAINTAINERS = frozenset({Role.SUPERVISOR, Role.MAINTAINER})

#: The table. STOP is open to any valid token, with or without a role.
MAY: Final[Mapping[Permission, frozenset[Role]]] = {
    Permission.READ: _ALL,
    Permission.STOP: _ALL,
    Permission.REQUEST_RELEASE: _OPERATORS,
    Permission.SEND_ORDER: _OPERATORS,
    Permission.ACKNOWLEDGE_ALERT: _OPERATORS,
    Permission.APPROVE_RELEASE: frozenset({Role.SUPERVISOR}),
    Permission.LEAVE_MAINTENANCE: _MAINTAINERS,
    Permission.CHANGE_REGISTRY: _MAINTAINERS,
}


@dataclass(frozen=True, slots=True)
class Person:
    """The subject of a verified token."""

    subject: str
    roles: frozenset[Role]

    def may(self, permission: Permission) -> bool:
        return permission is Permission.STOP or not self.roles.isdisjoint(MAY[permission])


class TokenVerifier:
    """Verifies tokens against the keys of a JWKS file, which it reads anew when the file changes."""

    def __init__(self, jwks: Path) -> None:
        """Raises OSError or jwt.PyJWTError where the file is missing or holds no key."""
        self._path = jwks
        self._checked_s = monotonic_s()
        self._modified_ns = jwks.stat().st_mtime_ns
        self._keys = _read_keys(jwks)
        self._known: OrderedDict[str, tuple[Person, float]] = OrderedDict()  # with when it expires

    @classmethod
    def open(cls, jwks: Path) -> Self:
        """For a service's start. Raises OSError, and InvalidCredentials where the file holds no key set."""
        try:
            return cls(jwks)
        except (ValueError, jwt.PyJWTError) as error:
            raise InvalidCredentials(f"{jwks}: no key set (JWKS): {error}; make it anew") from error

    def verify(self, token: str) -> Person:
        """Raises Unauthenticated with a reason that names what is wrong with the token."""
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated("TOKEN_TOO_LONG", f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        self._reload()
        person, expires_s = self._known.get(token, (None, 0.0))
        if person is not None and time.time() < expires_s + LEEWAY_S:
            self._known.move_to_end(token)
            return person
        return self._checked(token)

    def _checked(self, token: str) -> Person:
        try:
            claims = jwt.decode(
                token,
                self._key_of(token),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise _refused(error) from error
        person = _person(claims)
        self._known[token] = person, float(claims["exp"])
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return person

    def _key_of(self, token: str) -> Any:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = self._keys.get(str(key_id))
        if key is None:
            raise jwt.InvalidKeyError(f"no key {key_id}")
        return key.key

    def _reload(self) -> None:
        if monotonic_s() - self._checked_s < KEYS_CHECK_S:
            return
        self._checked_s = monotonic_s()
        try:
            modified_ns = self._path.stat().st_mtime_ns
            if modified_ns != self._modified_ns:
                self._keys = _read_keys(self._path)
                self._known.clear()
                self._modified_ns = modified_ns
        except (OSError, ValueError, jwt.PyJWTError) as error:
            # Half a renewal: the keys at hand stay good until the file is whole.
            _log.warning("%s not reloaded: %s", self._path, error)


def _read_keys(path: Path) -> dict[str, jwt.PyJWK]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    key_set = jwt.PyJWKSet.from_dict(content)
    return {str(key.key_id): key for key in key_set.keys}


def _person(claims: Mapping[str, Any]) -> Person:
    if claims["exp"] > time.time() + MAX_LIFETIME_S + LEEWAY_S:
        raise Unauthenticated("TOKEN_LIVES_TOO_LONG", "the token expires in more than 12 h; get a shorter one")
    if not 1 <= len(claims["sub"]) <= MAX_SUBJECT_CHARS:
        raise Unauthenticated("TOKEN_INVALID", f'the token\'s "sub" must have 1 to {MAX_SUBJECT_CHARS} characters')
    named = claims.get("roles", ())
    known = {str(role) for role in Role}
    roles = frozenset(Role(role) for role in named if role in known) if isinstance(named, list) else frozenset()
    return Person(str(claims["sub"]), roles)


_REFUSALS: Final[tuple[tuple[type[jwt.PyJWTError], str, str], ...]] = (
    (jwt.ExpiredSignatureError, "TOKEN_EXPIRED", "the token has expired; get a new one (`make up` renews them)"),
    (jwt.InvalidKeyError, "TOKEN_FOREIGN", "the token is signed by a key that this site doesn't know"),
    (jwt.InvalidSignatureError, "TOKEN_FOREIGN", "the token's signature is not by this site's key"),
    (jwt.InvalidIssuerError, "TOKEN_FOREIGN", f'the token\'s issuer is not "{ISSUER}"'),
    (jwt.InvalidAudienceError, "TOKEN_FOREIGN", f'the token is not for the audience "{AUDIENCE}"'),
)


def _refused(error: jwt.PyJWTError) -> Unauthenticated:
    for kind, reason, message in _REFUSALS:
        if isinstance(error, kind):
            return Unauthenticated(reason, message)
    return Unauthenticated("TOKEN_INVALID", f"the token is no valid JWT of this site: {error}")

"""Tokens for development: one person for each role, and two where a release takes two."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives import hashes, serialization

from pitwall.dev_files import Files, PrivateKey
from pitwall.tokens import ALGORITHM, AUDIENCE, ISSUER, MAX_LIFETIME_S, Role

TOKEN_LIFETIME: Final = timedelta(hours=12)
TOKEN_RENEW_BEFORE: Final = timedelta(hours=6)

assert TOKEN_RENEW_BEFORE < TOKEN_LIFETIME <= timedelta(seconds=MAX_LIFETIME_S)

#: File in tokens/, which is also the person -> role.
PERSONS: Final = {
    "viewer": Role.VIEWER,
    "operator": Role.OPERATOR,
    "operator-2": Role.OPERATOR,
    "supervisor": Role.SUPERVISOR,
    "supervisor-2": Role.SUPERVISOR,
    "maintainer": Role.MAINTAINER,
}


def ensure_tokens(certs: Path, tokens: Path, now: datetime, files: Files) -> None:
    """The signing key and the public key file in `certs`, a token for each person in `tokens`."""
    key = files.key(certs / "tokens.key")
    files.write_changed(certs / "jwks.json", _key_set(key), 0o644)
    for person, role in PERSONS.items():
        if not _is_good(tokens / person, key, now):
            files.write(tokens / person, make_token(key, person, [role], now=now).encode(), 0o600)


def make_token(
    key: PrivateKey, subject: str, roles: Sequence[str], *, now: datetime, lifetime: timedelta = TOKEN_LIFETIME
) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "roles": [str(role) for role in roles],
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, key, ALGORITHM, headers={"kid": key_id(key)})


def key_id(key: PrivateKey) -> str:
    """The `kid` of tokens signed with it."""
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public)
    return digest.finalize().hex()[:16]


def _key_set(key: PrivateKey) -> bytes:
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    public = algorithm.to_jwk(key.public_key(), as_dict=True)
    return json.dumps({"keys": [{**public, "kid": key_id(key), "alg": ALGORITHM, "use": "sig"}]}, indent=1).encode()


def _is_good(path: Path, key: PrivateKey, now: datetime) -> bool:
    """Whole, signed by this key, and good for some hours."""
    try:
        claims = jwt.decode(
            path.read_text(encoding="ascii"),
            key.public_key(),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"verify_exp": False, "verify_iat": False},
        )
    except (FileNotFoundError, ValueError, jwt.PyJWTError):
        return False
    left = datetime.fromtimestamp(claims["exp"], UTC) - now
    return TOKEN_RENEW_BEFORE < left <= TOKEN_LIFETIME

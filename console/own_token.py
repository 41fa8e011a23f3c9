"""What a token file holds, read without the site's keys: enough to tell its owner why it was refused."""

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Claims:
    """Of a token, unverified. Times are seconds since 1970, None where the token doesn't say."""

    subject: str
    roles: tuple[str, ...]
    issuer: str
    expires: float | None


def read_claims(path: Path) -> Claims | None:
    """None where the file can't be read or holds no JWT."""
    try:
        payload = path.read_text("ascii").strip().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expires = claims.get("exp")
        return Claims(
            subject=str(claims.get("sub", "")),
            roles=tuple(map(str, claims.get("roles") or ())),
            issuer=str(claims.get("iss", "")),
            expires=float(expires) if expires is not None else None,
        )
    except (OSError, ValueError, IndexError, AttributeError, TypeError):
        return None


def describe_token(path: Path) -> str:
    """One clause: whose it is, what it may, until when."""
    claims = read_claims(path)
    if claims is None:
        return f"{path} holds no token that can be read"
    roles = ", ".join(claims.roles) or "no role"
    return f"the token in {path} is {claims.subject or 'nobody'}'s ({roles}) and {_validity(claims.expires)}"


def _validity(expires: float | None) -> str:
    if expires is None:
        return "says no end"
    when = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"expired at {when}" if expires < time.time() else f"lasts until {when}"

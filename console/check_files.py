"""Checks of what lies on this computer: certificates, tokens, clock, disk."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from console import words
from console.checks import Finding, note, ok, wrong
from console.own_token import read_claims
from console.site import Site
from pitwall.connect_failure import explain_own_files
from pitwall.rpc.errors import Unauthenticated
from pitwall.tokens import TokenVerifier

#: The local stack renews certificates with less than this left when it starts.
SOON = timedelta(days=3)
#: A night's logs and Kafka segments of a local stack, bytes.
DISK_NOTE_BYTES = 5 * 1024**3
#: Kafka and the outboxes stop taking data somewhere below, bytes.
DISK_WRONG_BYTES = 1024**3
#: The oldest date that a working clock can show: nothing here was written before.
CLOCK_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)

_RENEW = "`make up` renews certificates and tokens of a local stack"


def check_certificates(site: Site, now: datetime) -> Iterator[Finding]:
    """The authority, and every certificate that the local stack has made."""
    trouble = explain_own_files(site.ca, None, None, now)
    if trouble:
        yield wrong("authority", trouble, "name the right file with --ca, or start the local stack with `make up`")
        return
    authority = x509.load_pem_x509_certificate(site.ca.read_bytes())
    yield ok("authority", f"{site.ca} lasts until {authority.not_valid_after_utc:%Y-%m-%d}")
    certs = site.home / "certs"
    paths = [path for path in sorted(certs.glob("*.pem")) + sorted(certs.glob("vehicles/*.pem")) if path != site.ca]
    if not paths:
        yield note("certificates", f"none in {certs}; so no part of a local stack runs from there")
        return
    faults = list(filter(None, (_fault(path, site.ca, now) for path in paths)))
    for fault in faults:
        yield wrong("certificates", fault, _RENEW)
    if not faults:
        first = min(_ends(path) for path in paths)
        text = f"{len(paths)} from that authority, the first ends at {first:%Y-%m-%d %H:%M} UTC"
        yield note("certificates", text, _RENEW) if first - now < SOON else ok("certificates", text)


def _fault(path: Path, ca: Path, now: datetime) -> str | None:
    """Dates, issuer, and whether the key belongs to it."""
    key_path = path.with_suffix(".key")
    trouble = explain_own_files(ca, path, key_path, now)
    if trouble:
        return trouble
    try:
        key = load_pem_private_key(key_path.read_bytes(), password=None)
    except ValueError as error:
        return f"{key_path}: no private key in PEM: {error}"
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return None if certificate.public_key() == key.public_key() else f"{key_path} is not the key of {path}"


def _ends(path: Path) -> datetime:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def check_tokens(site: Site) -> Iterator[Finding]:
    """The token in use, and those that the local stack has made, by the keys that its services go by."""
    jwks = site.home / "certs" / "jwks.json"
    verifier = TokenVerifier(jwks) if jwks.exists() else None
    folder = sorted((site.home / "tokens").glob("*")) if (site.home / "tokens").is_dir() else []
    for path in dict.fromkeys([site.token_file, *folder]):
        yield _check_token(path, verifier)


def _check_token(path: Path, verifier: TokenVerifier | None) -> Finding:
    part = f"token {path.name}"
    claims = read_claims(path)
    if not path.exists():
        return wrong(part, f"there is no {path}", f"name yours with --token-file; {_RENEW}")
    if claims is None:
        return wrong(part, f"{path} holds no token that can be read", _RENEW)
    if claims.expires is None or claims.expires < time.time():
        return wrong(part, f"{path} has expired", _RENEW)
    left = f"{claims.subject} ({', '.join(claims.roles)}), ends in {words.span(claims.expires - time.time())}"
    if verifier is None:
        return note(part, f"{left}; no keys here to verify it by")
    try:
        verifier.verify(path.read_text("ascii").strip())
    except Unauthenticated as error:
        return wrong(part, f"{path}: {error.message} [{error.reason}]", _RENEW)
    return ok(part, left)


def check_clock(now: datetime) -> Iterator[Finding]:
    """Certificates and tokens go by the wall clock; the stop path doesn't."""
    if now < CLOCK_EARLIEST:
        yield wrong("clock", f"says {now:%Y-%m-%d %H:%M} UTC, which is past", "set it, for example with timedatectl")
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def check_disk(home: Path) -> Iterator[Finding]:
    """Where the local stack lives."""
    place = next(path for path in (home.resolve(), *home.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free at {place}"
    if free < DISK_WRONG_BYTES:
        yield wrong("disk", text, "make room: `make clean` removes what the stack keeps, `du` finds the rest")
    elif free < DISK_NOTE_BYTES:
        yield note("disk", text, "make room before a longer run")
    else:
        yield ok("disk", text)

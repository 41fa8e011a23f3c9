"""Mutual TLS: credentials that follow renewed certificates, and the identity that a verified certificate carries."""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pitwall.clock import monotonic_s
from pitwall.config import TlsSettings
from pitwall.connect_failure import explain_connect_failure

__all__ = [
    "CertificateFetcher",
    "Identity",
    "InvalidCredentials",
    "channel_credentials",
    "explain_connect_failure",
    "operator_credentials",
    "peer_identity",
    "read_credentials",
    "server_credentials",
]

TRUST_DOMAIN: Final = "pitwall.local"
KINDS: Final = frozenset({"vehicle", "gateway", "command", "fleet"})
#: How often at most a server looks whether its certificate files have changed; handshakes in between cost nothing.
RELOAD_CHECK_S: Final = 1.0

_log = logging.getLogger(__name__)


class InvalidCredentials(ValueError):
    """Names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A party, as the URI SAN spiffe://pitwall.local/<kind>/<name> of its certificate says."""

    kind: str
    name: str

    @property
    def uri(self) -> str:
        return f"spiffe://{TRUST_DOMAIN}/{self.kind}/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> "Identity | None":
        """None for a URI that is not one of ours."""
        parts = urlsplit(uri)
        kind, _, name = parts.path.removeprefix("/").partition("/")
        if parts.scheme != "spiffe" or parts.netloc != TRUST_DOMAIN or kind not in KINDS:
            return None
        if not name or "/" in name or parts.query or parts.fragment:
            return None
        return cls(kind, name)


class HasAuthContext(Protocol):
    """What a servicer's context offers."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...


def peer_identity(context: HasAuthContext) -> Identity | None:
    """Of the certificate that gRPC has verified. None without one, or with anything but exactly one URI of ours."""
    uris = [uri.decode("utf-8", "replace") for uri in context.auth_context().get("peer_uri", ())]
    return Identity.parse(uris[0]) if len(uris) == 1 else None


def read_credentials(tls: TlsSettings) -> tuple[bytes, bytes, bytes]:
    """(authority, key, certificate chain). Raises InvalidCredentials, also where key and certificate don't match."""
    ca, key, chain = (_read(path) for path in (tls.ca, tls.key, tls.certificate))
    for path, content in ((tls.ca, ca), (tls.certificate, chain)):
        _certificate(path, content)
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidCredentials(f"{tls.key}: no private key in PEM: {error}") from error
    if private.public_key() != _certificate(tls.certificate, chain).public_key():
        raise InvalidCredentials(f"{tls.key} is not the key of {tls.certificate}; renew both")
    return ca, key, chain


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidCredentials(f"{path}: can't be read: {error.strerror}") from error


def _certificate(path: Path, content: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise InvalidCredentials(f"{path}: no certificate in PEM: {error}") from error


def server_credentials(tls: TlsSettings, *, require_client: bool) -> grpc.ServerCredentials:
    """Credentials that follow the files. Raises InvalidCredentials when they are bad at the start.

    With `require_client` a connection without a certificate of our authority ends in the handshake.
    """
    fetcher = CertificateFetcher(tls)
    return grpc.dynamic_ssl_server_credentials(
        fetcher.current,
        fetcher,  # type: ignore[arg-type]  # the stubs don't know None, "no change"
        require_client_authentication=require_client,
    )


class CertificateFetcher:
    """Called by gRPC in every handshake: answers None, "no change", unless the files have changed.

    Files that are bad in the middle of a renewal are logged and looked at again later; the old ones serve on.
    """

    def __init__(self, tls: TlsSettings) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._checked_s = monotonic_s()
        self._stamp = self._stamp_now()
        self.current = self._load()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        if monotonic_s() - self._checked_s < RELOAD_CHECK_S or not self._lock.acquire(blocking=False):
            return None
        try:
            return self._refresh()
        except InvalidCredentials as error:
            _log.warning("certificate not reloaded: %s", error)
            return None
        finally:
            self._lock.release()

    def _refresh(self) -> grpc.ServerCertificateConfiguration | None:
        self._checked_s = monotonic_s()
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return None
        self.current = self._load()
        self._stamp = stamp
        _log.info("certificate reloaded from %s", self._tls.certificate)
        return self.current

    def _load(self) -> grpc.ServerCertificateConfiguration:
        ca, key, chain = read_credentials(self._tls)
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=ca)

    def _stamp_now(self) -> tuple[int, ...]:
        try:
            return tuple(path.stat().st_mtime_ns for path in (self._tls.ca, self._tls.key, self._tls.certificate))
        except OSError as error:
            raise InvalidCredentials(f"{error.filename}: can't be read: {error.strerror}") from error


def channel_credentials(tls: TlsSettings) -> grpc.ChannelCredentials:
    """Read at the call: a client builds a new channel to take up a renewed certificate. Raises InvalidCredentials."""
    ca, key, chain = read_credentials(tls)
    return grpc.ssl_channel_credentials(ca, key, chain)


def operator_credentials(ca: Path) -> grpc.ChannelCredentials:
    """For a client that shows a token and no certificate. Raises InvalidCredentials."""
    content = _read(ca)
    _certificate(ca, content)
    return grpc.ssl_channel_credentials(content)

"""Why there is no connection. gRPC says UNAVAILABLE for whatever fails below a servicer, so the client looks itself.

First at its own side (files, their dates, the authority, the clock), then at the other: TCP, then TLS by the standard
library, whose errors say what gRPC's don't.
"""

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pitwall.clock import wall_time

#: For each of the steps TCP, handshake, and the server's word about our certificate.
PROBE_TIMEOUT_S: Final = 2.0


def explain_connect_failure(
    address: str, ca: Path, certificate: Path | None = None, key: Path | None = None, *, now: datetime | None = None
) -> str:
    """One sentence for people: the cause and the mend. Never raises. Blocks up to about 6 s: keep it off the loop.

    Without certificate and key it explains the connection of a client with a token.
    """
    own = explain_own_files(ca, certificate, key, now or wall_time())
    return own or explain_peer(address, ca, certificate, key)


def explain_own_files(ca: Path, certificate: Path | None, key: Path | None, now: datetime) -> str | None:
    """What is wrong on our side, None where nothing is."""
    try:
        authority = x509.load_pem_x509_certificate(ca.read_bytes())
        own = None if certificate is None else x509.load_pem_x509_certificate(certificate.read_bytes())
        if key is not None:
            key.read_bytes()
    except OSError as error:
        return f"{error.filename}: can't be read: {error.strerror}; `make up` makes development certificates"
    except ValueError as error:
        return f"{ca if certificate is None else f'{ca} or {certificate}'}: no certificate in PEM: {error}"
    if own is None:
        return _dates(ca, authority, now)
    return _dates(ca, authority, now) or _dates(certificate, own, now) or _issued(certificate, own, ca, authority)


def _dates(path: Path | None, certificate: x509.Certificate, now: datetime) -> str | None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    clock = f"this computer's clock says {_minute(now)}"
    if now < start:
        return f"{path} is valid from {_minute(start)} only, and {clock}: set the clock"
    if now > end:
        return f"{path} expired at {_minute(end)}, and {clock}: renew the certificate, or set the clock"
    return None


def _minute(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def _issued(path: Path | None, own: x509.Certificate, ca: Path, authority: x509.Certificate) -> str | None:
    try:
        own.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return f"{path} is not signed by {ca}: use certificate and authority of the same site"
    return None


def explain_peer(address: str, ca: Path, certificate: Path | None, key: Path | None) -> str:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), PROBE_TIMEOUT_S) as connection:
            return _explain_handshake(connection, address, host, _context(ca, certificate, key))
    except ConnectionRefusedError:
        return f"nothing listens on {address}: start the server, or name another address"
    except TimeoutError:
        return f"{address} does not answer: the host is away, or the server hangs"
    except (OSError, ValueError) as error:
        return f"{address} can't be reached: {error}"


def _context(ca: Path, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def _explain_handshake(connection: socket.socket, address: str, host: str, context: ssl.SSLContext) -> str:
    try:
        with context.wrap_socket(connection, server_hostname=host) as link:
            # In TLS 1.3 a server judges our certificate after our side of the handshake is done.
            link.settimeout(PROBE_TIMEOUT_S)
            heard = link.recv(1)
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {address} is not trusted here: {error.verify_message}; check authority and clock"
    except TimeoutError:
        return f"{address} takes the connection and then says nothing: the server hangs"
    except ssl.SSLError as error:
        return f"{address} refuses our certificate or speaks no TLS ({error.reason or error})"
    except ConnectionError:
        heard = b""
    if not heard:
        return f"{address} closes the connection at once: it refuses our certificate, or is shutting down"
    return f"{address} answers over TLS now: the fault was brief, try again"

"""A certificate authority for development.

    python -m pitwall.devca --home DIR --vehicles ID… --gateways NAME… --commands NAME… --fleets NAME…

Makes what is missing and renews what runs out; what is good stays as it is. Never for production: the authority's key
lies beside what it signs.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pitwall.dev_files import Files, PrivateKey, read_key
from pitwall.dev_tokens import PERSONS, ensure_tokens, key_id, make_token
from pitwall.exits import EXIT_FAILED
from pitwall.tls import Identity

__all__ = ["PERSONS", "PrivateKey", "ensure", "key_id", "main", "make_token", "read_key"]

#: Vehicles' clocks may be behind.
BACKDATED: Final = timedelta(hours=48)
LIFETIME: Final = timedelta(days=30)
RENEW_BEFORE: Final = timedelta(days=7)
CA_LIFETIME: Final = timedelta(days=3650)
NAME: Final = re.compile("[A-Za-z0-9][A-Za-z0-9-]{0,62}")
#: Files of the authority itself.
OWN_NAMES: Final = ("ca", "tokens", "jwks")

assert RENEW_BEFORE < LIFETIME < CA_LIFETIME


@dataclass(frozen=True, slots=True)
class Authority:
    certificate: x509.Certificate
    key: PrivateKey


def ensure(
    home: Path,
    *,
    vehicles: Iterable[str] = (),
    gateways: Iterable[str] = (),
    commands: Iterable[str] = (),
    fleets: Iterable[str] = (),
    now: datetime | None = None,
) -> list[Path]:
    """Everything under `home`/certs and `home`/tokens; returns the files written. fleets: names of fleet services.

    Raises ValueError for a name that can't name a file here, OSError where files can't be read or written.
    """
    now = now or datetime.now(UTC)
    vehicles, services = (
        tuple(vehicles),
        {"gateway": tuple(gateways), "command": tuple(commands), "fleet": tuple(fleets)},
    )
    _check_names((*vehicles, *(name for names in services.values() for name in names)))
    certs, tokens = home / "certs", home / "tokens"
    for folder in (certs / "vehicles", tokens):
        folder.mkdir(parents=True, exist_ok=True)
    files = Files()
    authority = _authority(certs, now, files)
    for kind, names in services.items():
        for name in names:
            _party(authority, certs / name, Identity(kind, name), now, files)
    for name in vehicles:
        _party(authority, certs / "vehicles" / name, Identity("vehicle", name), now, files)
    ensure_tokens(certs, tokens, now, files)
    return files.written


def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if not NAME.fullmatch(name) or name in OWN_NAMES:
            raise ValueError(f'"{name}" is no name for a certificate: letters, digits and "-", but not {OWN_NAMES}')


def _authority(certs: Path, now: datetime, files: Files) -> Authority:
    key = files.key(certs / "ca.key")
    path = certs / "ca.pem"
    certificate = _good_certificate(path, key, now)
    if certificate is None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pitwall development authority")])
        certificate = (
            _builder(name, name, key, now, CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        files.write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return Authority(certificate, key)


def _party(authority: Authority, path: Path, identity: Identity, now: datetime, files: Files) -> None:
    """The key stays when the certificate is renewed, so that the two files match at every moment."""
    key = files.key(path.with_name(path.name + ".key"))
    target = path.with_name(path.name + ".pem")
    good = _good_certificate(target, key, now)
    if good is not None and _signed_by(good, authority):
        return
    certificate = _issue(authority, identity, key, now)
    files.write(target, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _issue(authority: Authority, identity: Identity, key: PrivateKey, now: datetime) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if identity.kind != "vehicle":
        # Its own name too: in compose and Kubernetes that is the host that others dial.
        names += [
            x509.DNSName(identity.name),
            x509.DNSName("localhost"),
            x509.IPAddress(ip_address("127.0.0.1")),
            x509.IPAddress(ip_address("::1")),
        ]
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity.name)])
    return (
        _builder(subject, authority.certificate.subject, key, now, LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _good_certificate(path: Path, key: PrivateKey, now: datetime) -> x509.Certificate | None:
    """The certificate in the file where it is whole, of this key and good for some days."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    lasts = certificate.not_valid_after_utc - now > RENEW_BEFORE
    return certificate if lasts and certificate.public_key() == key.public_key() else None


def _signed_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pitwall.devca", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder that gets certs/ and tokens/")
    kinds = ("vehicles", "gateways", "commands", "fleets")
    for kind in kinds:
        parser.add_argument(f"--{kind}", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args(arguments)
    try:
        written = ensure(options.home, **{kind: getattr(options, kind) for kind in kinds})
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    print(f"{len(written)} files written under {options.home}" if written else f"{options.home}: all good")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Identities, and credentials that follow their files."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall import devca, tls
from pitwall.config import TlsSettings
from pitwall.tls import CertificateFetcher, Identity, InvalidCredentials, peer_identity, read_credentials


class Context:
    """A servicer's context with these URI SANs in the peer's verified certificate."""

    def __init__(self, *uris: str) -> None:
        self._uris = [uri.encode() for uri in uris]

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {"peer_uri": self._uris} if self._uris else {}


@pytest.mark.parametrize("kind", sorted(tls.KINDS))
def test_the_uri_of_an_identity_leads_back_to_it(kind: str) -> None:
    identity = Identity(kind, "KOMATSU-930E-001")
    assert Identity.parse(identity.uri) == identity


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("spiffe://elsewhere/vehicle/A-1", id="another trust domain"),
        pytest.param("https://pitwall.local/vehicle/A-1", id="another scheme"),
        pytest.param("spiffe://pitwall.local/person/A-1", id="another kind"),
        pytest.param("spiffe://pitwall.local/vehicle/", id="no name"),
        pytest.param("spiffe://pitwall.local/vehicle", id="no path"),
        pytest.param("spiffe://pitwall.local/vehicle/A-1/B", id="more behind the name"),
        pytest.param("spiffe://pitwall.local/vehicle/A-1?x=1", id="a query"),
        pytest.param("spiffe://pitwall.local/vehicle/A-1#x", id="a fragment"),
        pytest.param("spiffe://pitwall.local:1/vehicle/A-1", id="a port"),
        pytest.param("", id="nothing"),
    ],
)
def test_any_other_uri_is_nobodys(uri: str) -> None:
    assert Identity.parse(uri) is None


@given(st.text())
def test_no_uri_makes_it_fail(uri: str) -> None:
    identity = Identity.parse(uri)
    assert identity is None or identity.uri == uri


def test_a_peer_is_known_by_the_one_uri_of_its_certificate() -> None:
    vehicle = "spiffe://pitwall.local/vehicle/A-1"
    assert peer_identity(Context(vehicle)) == Identity("vehicle", "A-1")
    assert peer_identity(Context()) is None
    assert peer_identity(Context(vehicle, "spiffe://pitwall.local/vehicle/A-2")) is None


@pytest.fixture
def files(tmp_path: Path) -> TlsSettings:
    devca.ensure(tmp_path, gateways=["gateway-1", "gateway-2"])
    certs = tmp_path / "certs"
    return TlsSettings(ca=certs / "ca.pem", certificate=certs / "gateway-1.pem", key=certs / "gateway-1.key")


def test_a_missing_file_is_named(files: TlsSettings) -> None:
    files.key.unlink()
    with pytest.raises(InvalidCredentials, match=r"gateway-1\.key: can't be read"):
        read_credentials(files)


@pytest.mark.parametrize("field", ["ca", "certificate", "key"])
def test_a_file_that_is_no_pem_is_named(files: TlsSettings, field: str) -> None:
    path: Path = getattr(files, field)
    path.write_text("nonsense")
    with pytest.raises(InvalidCredentials, match=rf"{path.name}: no"):
        read_credentials(files)


def test_a_key_of_another_certificate_is_refused(files: TlsSettings) -> None:
    files.key.write_bytes(files.key.with_name("gateway-2.key").read_bytes())
    with pytest.raises(InvalidCredentials, match=r"gateway-1\.key is not the key of .*gateway-1\.pem"):
        read_credentials(files)


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tls, "monotonic_s", clock)
    return clock


def _renew(files: TlsSettings) -> None:
    """A renewal, as if the certificate were in its last days."""
    devca.ensure(files.ca.parent.parent, gateways=["gateway-1"], now=datetime.now(UTC) + timedelta(days=24))


def test_unchanged_files_change_nothing(files: TlsSettings, clock: Clock) -> None:
    fetcher = CertificateFetcher(files)
    clock.now_s += 2
    assert fetcher() is None


def test_a_renewed_certificate_is_taken_up_at_the_next_look(files: TlsSettings, clock: Clock) -> None:
    fetcher = CertificateFetcher(files)
    before = fetcher.current
    _renew(files)
    clock.now_s += 0.9
    assert fetcher() is None
    clock.now_s += 0.2
    assert fetcher() is fetcher.current
    assert fetcher.current is not before
    clock.now_s += 2
    assert fetcher() is None


def test_files_are_looked_at_once_a_second_at_most(
    files: TlsSettings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetcher = CertificateFetcher(files)
    stamp, looks = fetcher._stamp_now(), []

    def look() -> tuple[int, ...]:
        looks.append(clock.now_s)
        return stamp

    monkeypatch.setattr(fetcher, "_stamp_now", look)
    for _ in range(100):
        clock.now_s += 0.1
        fetcher()
    assert 9 <= len(looks) <= 10


def test_bad_files_are_logged_and_the_old_certificate_serves_on_until_they_are_good(
    files: TlsSettings, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    fetcher = CertificateFetcher(files)
    whole = files.certificate.read_bytes()
    files.certificate.write_bytes(whole[:100])
    clock.now_s += 2
    assert fetcher() is None
    assert "gateway-1.pem" in caplog.text
    files.certificate.write_bytes(whole)
    clock.now_s += 2
    assert fetcher() is not None

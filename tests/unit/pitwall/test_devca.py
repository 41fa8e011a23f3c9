"""The development authority: what it makes, what it leaves alone, what it renews."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pitwall import devca
from pitwall.config import TlsSettings
from pitwall.exits import EXIT_FAILED
from pitwall.tls import read_credentials
from pitwall.tokens import Role, TokenVerifier

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
VEHICLE, GATEWAY, COMMAND, FLEET = "KOMATSU-930E-001", "gateway-1", "command-1", "fleet-1"


def ensure(home: Path, now: datetime = NOW) -> set[str]:
    written = devca.ensure(home, vehicles=[VEHICLE], gateways=[GATEWAY], commands=[COMMAND], fleets=[FLEET], now=now)
    return {str(path.relative_to(home)) for path in written}


SERVER_USAGES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize(
    ("file", "uri", "names", "usages"),
    [
        (f"vehicles/{VEHICLE}", f"vehicle/{VEHICLE}", [], {ExtendedKeyUsageOID.CLIENT_AUTH}),
        (GATEWAY, f"gateway/{GATEWAY}", [GATEWAY, "localhost"], SERVER_USAGES),
        (COMMAND, f"command/{COMMAND}", [COMMAND, "localhost"], SERVER_USAGES),
        (FLEET, f"fleet/{FLEET}", [FLEET, "localhost"], SERVER_USAGES),
    ],
)
def test_a_certificate_says_who_it_is_and_what_for(
    tmp_path: Path, file: str, uri: str, names: list[str], usages: set[x509.ObjectIdentifier]
) -> None:
    ensure(tmp_path)
    made = certificate(tmp_path / "certs" / f"{file}.pem")
    alternative = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternative.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://pitwall.local/{uri}"]
    assert alternative.get_values_for_type(x509.DNSName) == names
    assert set(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == usages


def test_a_certificate_starts_48_hours_back_and_lasts_30_days(tmp_path: Path) -> None:
    ensure(tmp_path)
    made = certificate(tmp_path / "certs" / f"{GATEWAY}.pem")
    assert made.not_valid_before_utc == NOW - timedelta(hours=48)
    assert made.not_valid_after_utc == NOW + timedelta(days=30)


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    assert ensure(tmp_path)
    assert ensure(tmp_path) == set()


def test_a_new_vehicle_gets_its_files_and_nothing_else_changes(tmp_path: Path) -> None:
    ensure(tmp_path)
    written = devca.ensure(tmp_path, vehicles=[VEHICLE, "NEW-001"], gateways=[GATEWAY], commands=[COMMAND], now=NOW)
    assert {path.name for path in written} == {"NEW-001.pem", "NEW-001.key"}


@pytest.mark.parametrize(("left", "renewed"), [(timedelta(days=7, seconds=1), False), (timedelta(days=7), True)])
def test_a_certificate_is_renewed_in_its_last_7_days(tmp_path: Path, left: timedelta, renewed: bool) -> None:
    ensure(tmp_path)
    written = ensure(tmp_path, NOW + timedelta(days=30) - left)
    assert (f"certs/{GATEWAY}.pem" in written) is renewed
    assert (f"certs/vehicles/{VEHICLE}.pem" in written) is renewed


def test_a_renewal_keeps_the_key_so_that_key_and_certificate_match_at_every_moment(tmp_path: Path) -> None:
    ensure(tmp_path)
    written = ensure(tmp_path, NOW + timedelta(days=25))
    assert f"certs/{GATEWAY}.key" not in written
    certs = tmp_path / "certs"
    read_credentials(
        TlsSettings(ca=certs / "ca.pem", certificate=certs / f"{GATEWAY}.pem", key=certs / f"{GATEWAY}.key")
    )


def test_the_authority_outlives_renewals(tmp_path: Path) -> None:
    ensure(tmp_path)
    assert "certs/ca.pem" not in ensure(tmp_path, NOW + timedelta(days=365))


def test_under_a_new_authority_everything_is_signed_anew(tmp_path: Path) -> None:
    ensure(tmp_path)
    for name in ("ca.pem", "ca.key"):
        (tmp_path / "certs" / name).unlink()
    assert {f"certs/{GATEWAY}.pem", f"certs/{COMMAND}.pem", f"certs/vehicles/{VEHICLE}.pem"} <= ensure(tmp_path)
    authority = certificate(tmp_path / "certs" / "ca.pem")
    certificate(tmp_path / "certs" / f"{GATEWAY}.pem").verify_directly_issued_by(authority)


@pytest.mark.parametrize("name", [f"{GATEWAY}.pem", f"{GATEWAY}.key", "jwks.json", "tokens.key", "ca.pem"])
def test_a_file_cut_short_is_made_anew(tmp_path: Path, name: str) -> None:
    ensure(tmp_path)
    path = tmp_path / "certs" / name
    path.write_bytes(path.read_bytes()[:40])
    assert f"certs/{name}" in ensure(tmp_path)
    assert ensure(tmp_path) == set()


def test_keys_and_tokens_are_their_owners_alone(tmp_path: Path) -> None:
    ensure(tmp_path)
    secrets = [*tmp_path.rglob("*.key"), *(tmp_path / "tokens").iterdir()]
    assert len(secrets) == 6 + len(devca.PERSONS)
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        ensure(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_each_role_has_a_token_and_a_release_its_two_persons(tmp_path: Path) -> None:
    ensure(tmp_path, datetime.now(UTC))
    verifier = TokenVerifier(tmp_path / "certs" / "jwks.json")
    persons = {name: verifier.verify((tmp_path / "tokens" / name).read_text()) for name in devca.PERSONS}
    assert {role for person in persons.values() for role in person.roles} == set(Role)
    assert len({person.subject for person in persons.values()}) == len(persons)
    assert persons["operator"].roles == persons["operator-2"].roles == {Role.OPERATOR}
    assert persons["supervisor"].roles == persons["supervisor-2"].roles == {Role.SUPERVISOR}


@pytest.mark.parametrize(("left", "renewed"), [(timedelta(hours=6, seconds=1), False), (timedelta(hours=6), True)])
def test_a_token_is_renewed_in_its_last_6_hours(tmp_path: Path, left: timedelta, renewed: bool) -> None:
    ensure(tmp_path)
    assert ("tokens/operator" in ensure(tmp_path, NOW + timedelta(hours=12) - left)) is renewed


def test_the_public_key_file_holds_nothing_secret(tmp_path: Path) -> None:
    ensure(tmp_path)
    (key,) = jwt.PyJWKSet.from_json((tmp_path / "certs" / "jwks.json").read_text()).keys
    assert "d" not in key._jwk_data
    assert stat.S_IMODE((tmp_path / "certs" / "jwks.json").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["ca", "tokens", "../up", "a/b", "", "-x", "x" * 64])
def test_a_name_that_would_be_another_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a certificate"):
        devca.ensure(tmp_path, gateways=[name], now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_not_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "certs" / "ca.key"
    key.mkdir(parents=True)
    assert devca.main(["--home", str(tmp_path)]) == EXIT_FAILED
    assert "ca.key" in capsys.readouterr().err
    assert key.is_dir()


def test_the_command_line_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--home", str(tmp_path), "--vehicles", VEHICLE, "--gateways", GATEWAY]
    assert devca.main(arguments) == 0
    assert "files written" in capsys.readouterr().out
    assert devca.main(arguments) == 0
    assert "all good" in capsys.readouterr().out

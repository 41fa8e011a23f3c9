"""Every fault ends in plain words: what, why, what to do. Never a traceback."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pitwall import devca
from pitwall.rpc.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PitwallError,
    Unauthenticated,
)
from tests.unit.console.fake_site import FakeService, Pitwall, Served, motion, serve


def expired_token(home: Path) -> str:
    key = load_pem_private_key((home / "certs" / "tokens.key").read_bytes(), None)
    assert isinstance(key, devca.PrivateKey)
    return devca.make_token(key, "olga", ["operator"], now=datetime.now(UTC) - timedelta(days=1))


def test_an_expired_token_says_which_file_whose_and_since_when(
    pitwall: Pitwall, service: FakeService, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine"
    path.write_text(expired_token(home))
    service.fails = Unauthenticated("TOKEN_EXPIRED", "the token has expired")
    ran = pitwall("motion", "--token-file", str(path))
    assert ran.code == 1
    assert "TOKEN_EXPIRED" in ran.err
    assert f"the token in {path} is olga's (operator) and expired at" in ran.err
    assert "make up" in ran.err


def test_too_few_roles_say_whose_token_it_was(pitwall: Pitwall, service: FakeService, home: Path) -> None:
    service.fails = PermissionDenied("ROLE_MISSING", "approving takes a supervisor")
    ran = pitwall("approve", "01928c5e-7b6a-7c3d-8e4f-a1b2c3d4e5f6", "--token-file", str(home / "tokens" / "viewer"))
    assert ran.code == 1
    assert "approving takes a supervisor [ROLE_MISSING]" in ran.err
    assert "is viewer's (viewer)" in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("STOP_NOT_FOUND", "no stop of that id is held here"), 1),
        (FailedPrecondition("OWN_STOP", "it ends only at the vehicle"), 1),
        (Aborted("NO_MAJORITY", "not journaled by a majority"), 1),
        (InvalidArgument("INVALID", "reason: is empty", fields={"reason": "is empty"}), 2),
    ],
)
def test_an_answer_is_shown_with_its_reason(
    pitwall: Pitwall, service: FakeService, error: PitwallError, code: int
) -> None:
    service.fails = error
    words = pitwall("stops")
    assert (words.code, words.err.startswith(f"pitwall: {error.message} [{error.reason}]")) == (code, True)
    as_json = pitwall("stops", "--output", "json")
    assert as_json.code == code
    assert as_json.error["reason"] == error.reason
    assert as_json.error["code"] == error.code.name


def test_it_may_have_happened_is_said(pitwall: Pitwall, service: FakeService) -> None:
    def order(_: object) -> object:
        raise Aborted("LINK_BROKE", "the link broke after sending", metadata={"may_have_happened": "true"})

    service.motion_states = [motion("KOMATSU-930E-001")]
    service.ordering = order  # type: ignore[assignment]
    ran = pitwall("order", "RESUME", "KOMATSU-930E-001")
    assert ran.code == 1
    assert "It may have happened all the same: look, don't retry." in ran.err
    assert pitwall("order", "RESUME", "KOMATSU-930E-001", "--output", "json").error["mayHaveHappened"] is True


def test_a_dead_server_is_passed_by(pitwall: Pitwall, served: Served) -> None:
    served.service.motion_states = [motion("KOMATSU-930E-001")]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"localhost:{listener.getsockname()[1]}"
    ran = pitwall("motion", "--server", dead, "--server", served.address)
    assert ran.code == 0
    assert "KOMATSU-930E-001" in ran.out


def test_a_hung_server_is_passed_by(pitwall: Pitwall, served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        ran = pitwall("motion", "--server", f"localhost:{hung.getsockname()[1]},{served.address}")
    assert ran.code == 0


def test_nobody_there_names_every_address_and_its_cause(pitwall: Pitwall, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"localhost:{listener.getsockname()[1]}"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hung = f"localhost:{listener.getsockname()[1]}"
        ran = pitwall("stops", "--server", f"{dead},{hung}", "--output", "json")
    assert ran.code == 1
    assert ran.error["reason"] == "NO_COMMAND_SERVICE"
    assert f"nothing listens on {dead}" in ran.error["message"]
    assert f"{hung} takes the connection and then says nothing" in ran.error["message"]
    assert "pitwall doctor" in ran.error["fix"]


def test_a_foreign_authority_is_said_to_be_the_cause(pitwall: Pitwall, served: Served, tmp_path: Path) -> None:
    devca.ensure(tmp_path, commands=["command-1"])
    ran = pitwall("motion", "--ca", str(tmp_path / "certs" / "ca.pem"))
    assert ran.code == 1
    assert f"the certificate of {served.address} is not trusted here" in ran.err


def test_an_expired_server_certificate_is_said_to_be_the_cause(pitwall: Pitwall, home: Path, tmp_path: Path) -> None:
    devca.ensure(tmp_path, commands=["command-1"], now=datetime.now(UTC) - timedelta(days=60))
    old = serve(FakeService(), tmp_path / "certs")
    ran = pitwall("motion", "--server", old.address, "--ca", str(tmp_path / "certs" / "ca.pem"))
    old.stop()
    assert ran.code == 1
    assert "certificate has expired" in ran.err


def test_a_ca_that_is_none_is_named(pitwall: Pitwall, served: Served, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("hello")
    ran = pitwall("motion", "--ca", str(path))
    assert ran.code == 1
    assert str(path) in ran.err


def test_an_unimplemented_method_says_that_versions_differ(pitwall: Pitwall, service: FakeService) -> None:
    import grpc

    service.fails = PitwallError(grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED", "nothing serves this yet")
    ran = pitwall("releases")
    assert ran.code == 1
    assert "nothing serves this yet" in ran.err
    assert "versions" in ran.err

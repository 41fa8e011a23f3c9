"""The verifier follows its key file, and believes nothing that only looks like a token."""

import base64
import json
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pitwall import devca, tokens
from pitwall.rpc.errors import Unauthenticated
from pitwall.tls import InvalidCredentials
from pitwall.tokens import LEEWAY_S, Person, Role, TokenVerifier


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tokens, "monotonic_s", clock)
    return clock


@pytest.fixture
def home(tmp_path: Path) -> Path:
    devca.ensure(tmp_path)
    return tmp_path


@pytest.fixture
def verifier(home: Path) -> TokenVerifier:
    return TokenVerifier(home / "certs" / "jwks.json")


def key_of(home: Path) -> ec.EllipticCurvePrivateKey:
    key = devca.read_key(home / "certs" / "tokens.key")
    assert key is not None
    return key


def claims(**changes: object) -> dict[str, object]:
    now = datetime.now(UTC)
    good = {
        "iss": "pitwall",
        "aud": "pitwall",
        "sub": "ana",
        "roles": ["operator"],
        "exp": now + timedelta(hours=1),
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def signed(home: Path, **changes: object) -> str:
    key = key_of(home)
    return jwt.encode(claims(**changes), key, "ES256", headers={"kid": devca.key_id(key)})


def reason(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(Unauthenticated) as raised:
        verifier.verify(token)
    return raised.value.reason


def test_a_good_token_names_its_person(home: Path, verifier: TokenVerifier) -> None:
    assert verifier.verify(signed(home)) == Person("ana", frozenset({Role.OPERATOR}))


@pytest.mark.parametrize("claim", ["exp", "sub", "iss", "aud"])
def test_a_token_without_a_claim_that_counts_is_refused(home: Path, verifier: TokenVerifier, claim: str) -> None:
    assert reason(verifier, signed(home, **{claim: None})) == "TOKEN_INVALID"


@pytest.mark.parametrize("subject", ["", "x" * 201])
def test_a_subject_that_is_no_name_is_refused(home: Path, verifier: TokenVerifier, subject: str) -> None:
    assert reason(verifier, signed(home, sub=subject)) == "TOKEN_INVALID"


@pytest.mark.parametrize(("claim", "value"), [("iss", "elsewhere"), ("aud", "elsewhere")])
def test_a_token_of_another_system_is_refused(home: Path, verifier: TokenVerifier, claim: str, value: str) -> None:
    assert reason(verifier, signed(home, **{claim: value})) == "TOKEN_FOREIGN"


@pytest.mark.parametrize(
    "roles", [None, [], ["driver"], "operator", {"operator": True}, [7]], ids=lambda roles: f"roles {roles!r}"
)
def test_a_token_whose_roles_say_nothing_gives_none(home: Path, verifier: TokenVerifier, roles: object) -> None:
    assert verifier.verify(signed(home, roles=roles)).roles == frozenset()


def test_unknown_roles_are_ignored_beside_known_ones(home: Path, verifier: TokenVerifier) -> None:
    assert verifier.verify(signed(home, roles=["driver", "viewer"])).roles == {Role.VIEWER}


@pytest.mark.parametrize(
    ("seconds_ago", "good"), [(LEEWAY_S - 5, True), (LEEWAY_S + 5, False)], ids=["within leeway", "after it"]
)
def test_clocks_may_differ_by_a_minute(home: Path, verifier: TokenVerifier, seconds_ago: int, good: bool) -> None:
    token = signed(home, exp=datetime.now(UTC) - timedelta(seconds=seconds_ago))
    if good:
        assert verifier.verify(token).subject == "ana"
    else:
        assert reason(verifier, token) == "TOKEN_EXPIRED"


def test_an_unsigned_token_is_refused(home: Path, verifier: TokenVerifier) -> None:
    token = jwt.encode(claims(), "", "none", headers={"kid": devca.key_id(key_of(home))})
    assert reason(verifier, token) == "TOKEN_INVALID"


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(home: Path, verifier: TokenVerifier) -> None:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    header = {"alg": "HS256", "typ": "JWT", "kid": devca.key_id(key_of(home))}
    body = {**claims(), "exp": (datetime.now(UTC) + timedelta(hours=1)).timestamp()}
    assert reason(verifier, f"{part(header)}.{part(body)}.c2lnbmF0dXJl") == "TOKEN_INVALID"


@given(st.text(max_size=200))
def test_nothing_but_a_refusal_comes_of_nonsense(text: str) -> None:
    verifier = TokenVerifier.__new__(TokenVerifier)
    verifier._keys, verifier._known, verifier._checked_s = {}, OrderedDict(), float("inf")
    with pytest.raises(Unauthenticated):
        verifier.verify(text)


def test_new_keys_are_taken_up_within_a_second(home: Path, clock: Clock) -> None:
    verifier = TokenVerifier(home / "certs" / "jwks.json")
    (home / "certs" / "tokens.key").unlink()
    devca.ensure(home)
    token = signed(home)
    clock.now_s += 0.5
    assert reason(verifier, token) == "TOKEN_FOREIGN"
    clock.now_s += 0.6
    assert verifier.verify(token).subject == "ana"


def test_a_broken_key_file_leaves_the_old_keys_in_force_and_is_logged(
    home: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = TokenVerifier(home / "certs" / "jwks.json")
    (home / "certs" / "jwks.json").write_text('{"keys": [')
    clock.now_s += 2
    assert verifier.verify(signed(home)).subject == "ana"
    assert "jwks.json" in caplog.text
    clock.now_s += 2
    devca.ensure(home)
    assert verifier.verify(signed(home)).subject == "ana"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys": []}'])
def test_a_service_does_not_start_with_a_file_that_holds_no_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidCredentials, match=r"jwks\.json: no key set"):
        TokenVerifier.open(path)


class Checks:
    """Counts how often a signature is checked."""

    count = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        decode = jwt.decode

        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            return decode(*arguments, **options)

        monkeypatch.setattr(jwt, "decode", counted)


def test_a_signature_that_is_known_to_be_good_is_not_checked_again(
    home: Path, verifier: TokenVerifier, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = Checks(monkeypatch)
    token = signed(home)
    assert {verifier.verify(token) for _ in range(3)} == {Person("ana", frozenset({Role.OPERATOR}))}
    assert checks.count == 1
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            verifier.verify(token[:-4] + "AAAA")
    assert checks.count == 3, "what is refused is refused anew"
    later_s = time.time() + 3600 + LEEWAY_S
    monkeypatch.setattr(time, "time", lambda: later_s)
    verifier.verify(token)
    assert checks.count == 4, "it has expired since, or so this clock says"


def test_a_token_whose_key_is_taken_away_is_good_no_more(home: Path, clock: Clock) -> None:
    verifier = TokenVerifier(home / "certs" / "jwks.json")
    token = signed(home)
    assert verifier.verify(token).subject == "ana"
    (home / "certs" / "tokens.key").unlink()
    devca.ensure(home)
    clock.now_s += 2
    assert reason(verifier, token) == "TOKEN_FOREIGN"


def test_so_many_are_remembered_and_no_more(
    home: Path, verifier: TokenVerifier, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_KNOWN", 2)
    checks = Checks(monkeypatch)
    first, second, third = (signed(home, sub=name) for name in ("ana", "bo", "cy"))
    for token in (first, second, first, third):
        verifier.verify(token)
    assert checks.count == 3
    verifier.verify(first)
    assert checks.count == 3
    verifier.verify(second)
    assert checks.count == 4

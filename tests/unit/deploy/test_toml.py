import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.toml import toml_text

# TOML text can't hold lone surrogates, and neither can a file in UTF-8; DEL is the one that JSON leaves as it is.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"))
VALUES = st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.lists(TEXT))


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), VALUES))
def test_what_is_written_is_read_back(keys: dict[str, str | int | bool | list[str]]) -> None:
    assert tomllib.loads(toml_text(keys)) == keys


def test_tables_come_after_the_keys() -> None:
    text = toml_text({"name": "gateway-1", "rate_hz": 0.5}, {"tls": {"ca": Path("/c/ca.pem")}})
    assert tomllib.loads(text) == {"name": "gateway-1", "rate_hz": 0.5, "tls": {"ca": "/c/ca.pem"}}

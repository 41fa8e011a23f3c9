"""The settings of a command service: who its peers are, and how many of them there may be."""

from pathlib import Path

import pytest

from command_service.config import CommandSettings
from pitwall.config import InvalidSettings


def settings(folder: Path, peers: str = "") -> CommandSettings:
    path = folder / "command-1.toml"
    path.write_text(
        f"""
name = "command-1"
operator_address = "127.0.0.1:0"
link_address = "127.0.0.1:0"
metrics_address = "127.0.0.1:0"
journal = "command-1.sqlite"
jwks = "jwks.json"
tls = {{ca = "ca.pem", certificate = "c.pem", key = "c.key"}}
{f"peers = {peers}" if peers else ""}
"""
    )
    return CommandSettings.read(path)


def table(*names: str) -> str:
    return "{" + ", ".join(f'{name} = "localhost:{port}"' for port, name in enumerate(names, 1)) + "}"


@pytest.mark.parametrize(
    ("peers", "members"),
    [
        ("", ["command-1"]),
        ("{}", ["command-1"]),
        (table("command-2", "command-3"), ["command-1", "command-2", "command-3"]),
        (table("b", "c", "d", "e"), ["command-1", "b", "c", "d", "e"]),
    ],
)
def test_a_site_has_one_three_or_five(tmp_path: Path, peers: str, members: list[str]) -> None:
    assert list(settings(tmp_path, peers).members) == members


@pytest.mark.parametrize(
    ("peers", "words"),
    [
        (table("b"), "\"peers\" must name 0 or 2 or 4 other command services, not ['b']"),
        (table("b", "c", "d"), '"peers" must name 0 or 2 or 4'),
        (table("b", "c", "d", "e", "f"), '"peers" must name 0 or 2 or 4'),
        (table("b", "command-1"), '"peers" must name 0 or 2 or 4 other command services, not'),
        (table("b", "c", "command-1"), '"peers" must name 0 or 2 or 4 other command services, not'),
        ('["b:1", "c:2"]', "\"peers\" = ['b:1', 'c:2']: write it as a table: {command-2 = \"host:port\", …}"),
        ('"b:1"', "write it as a table"),
        ('{b = "b:1", c = "c"}', "\"peers.c\" = 'c': write it as host:port"),
        ("{b = 1, c = 2}", '"peers.b" = 1'),
    ],
)
def test_other_peers_are_refused_with_what_to_write(tmp_path: Path, peers: str, words: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        settings(tmp_path, peers)
    assert words in str(refused.value)


def test_the_environment_may_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITWALL_COMMAND__PEERS", '{"b": "localhost:1", "c": "localhost:2"}')
    assert settings(tmp_path).members == ("command-1", "b", "c")
    monkeypatch.setenv("PITWALL_COMMAND__PEERS", '["b:1", "c:2"]')
    with pytest.raises(InvalidSettings, match=r"PITWALL_COMMAND__PEERS: .* write it as a table"):
        settings(tmp_path)

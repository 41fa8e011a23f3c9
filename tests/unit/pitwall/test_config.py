"""Every mistake in a configuration file names the file, the field and the mend."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, model_validator

from pitwall.config import Address, InvalidSettings, Settings, TlsSettings
from pitwall.exits import EXIT_CONFIG


class Example(Settings):
    service: ClassVar[str] = "example"

    name: str
    vehicle_address: Address = "127.0.0.1:50051"
    command_services: tuple[Address, ...] = ()
    permit_ttl_s: float = Field(default=2.0, ge=0.5, le=10)
    tls: TlsSettings

    @model_validator(mode="after")
    def _relations(self) -> "Example":
        if self.name == self.vehicle_address:
            raise ValueError('"name" must differ from "vehicle_address"')
        return self


GOOD = """
name = "gateway-1"
command_services = ["127.0.0.1:50054"]
[tls]
ca = "ca.pem"
certificate = "gateway-1.pem"
key = "gateway-1.key"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway-1.toml"
    path.write_text(GOOD)
    return path


def test_a_good_file_is_read(file: Path) -> None:
    settings = Example.read(file)
    assert settings.name == "gateway-1"
    assert settings.command_services == ("127.0.0.1:50054",)
    assert settings.tls.key == Path("gateway-1.key")


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        pytest.param("name =", "naem =", ["gateway-1.toml", '"naem"', 'did you mean "name"?'], id="a slip in a key"),
        pytest.param("name =", "zzzzzz = 1\nname =", ['"zzzzzz"', "valid keys: ", "permit_ttl_s"], id="a strange key"),
        pytest.param("ca =", "cca =", ["[tls]", '"cca"', 'did you mean "ca"?'], id="a slip within a table"),
        pytest.param('name = "gateway-1"', "", ['"name" is missing', "PITWALL_EXAMPLE__NAME"], id="a key too few"),
        pytest.param(
            'ca = "ca.pem"', "", ['"tls.ca" is missing', "PITWALL_EXAMPLE__TLS__CA"], id="a key too few in a table"
        ),
        pytest.param("127.0.0.1:50054", "127.0.0.1", ['"command_services.0"', "host:port"], id="no port"),
        pytest.param(
            "127.0.0.1:50054", "h:70000", ['"command_services.0"', "'h:70000'", "host:port"], id="no such port"
        ),
        pytest.param("name =", "permit_ttl_s = 11\nname =", ['"permit_ttl_s" = 11', "10"], id="above a limit"),
        pytest.param("name =", 'permit_ttl_s = "x"\nname =', ["\"permit_ttl_s\" = 'x'", "number"], id="no number"),
        pytest.param("name =", "name ==", ["gateway-1.toml", "no valid TOML", "line 2"], id="no TOML"),
    ],
)
def test_what_is_wrong_is_named(file: Path, before: str, after: str, names: list[str]) -> None:
    assert before in GOOD
    file.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(InvalidSettings) as raised:
        Example.read(file)
    for name in names:
        assert name in str(raised.value)


def test_all_that_is_wrong_is_named_at_once(file: Path) -> None:
    file.write_text(GOOD.replace("name", "naem").replace("key =", "kye ="))
    with pytest.raises(InvalidSettings) as raised:
        Example.read(file)
    assert '"naem"' in str(raised.value)
    assert '"kye"' in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"nowhere\.toml: can't be read .* --config"):
        Example.read(tmp_path / "nowhere.toml")


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITWALL_EXAMPLE__NAME", "gateway-9")
    monkeypatch.setenv("PITWALL_EXAMPLE__TLS__CA", "other.pem")
    monkeypatch.setenv("PITWALL_EXAMPLE__COMMAND_SERVICES", '["a:1", "b:2"]')
    settings = Example.read(file)
    assert settings.name == "gateway-9"
    assert settings.tls == TlsSettings(
        ca=Path("other.pem"), certificate=Path("gateway-1.pem"), key=Path("gateway-1.key")
    )
    assert settings.command_services == ("a:1", "b:2")


def test_an_unknown_key_in_the_environment_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITWALL_EXAMPLE__PERMIT_TTL", "3")
    with pytest.raises(InvalidSettings, match=r'PITWALL_EXAMPLE__PERMIT_TTL.*did you mean "permit_ttl_s"'):
        Example.read(file)


def test_another_services_key_in_the_environment_is_none_of_ours(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITWALL_COMMAND__WHATEVER", "3")
    assert Example.read(file).name == "gateway-1"


def test_a_bad_value_in_the_environment_is_named_as_such(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITWALL_EXAMPLE__PERMIT_TTL_S", "fast")
    with pytest.raises(InvalidSettings, match="PITWALL_EXAMPLE__PERMIT_TTL_S"):
        Example.read(file)


def test_a_list_in_the_environment_that_is_no_json_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITWALL_EXAMPLE__COMMAND_SERVICES", "a:1,b:2")
    with pytest.raises(InvalidSettings, match=r"command_services.*JSON"):
        Example.read(file)


def test_main_is_ended_with_the_exit_code_for_configuration(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("")
    with pytest.raises(SystemExit) as raised:
        Example.load(file)
    assert raised.value.code == EXIT_CONFIG
    assert '"name" is missing' in capsys.readouterr().err


def test_an_unknown_key_of_a_table_in_the_environment_is_named_as_such(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITWALL_EXAMPLE__TLS__CCA", "x")
    with pytest.raises(InvalidSettings, match=r'PITWALL_EXAMPLE__TLS__CCA in \[tls\].*did you mean "ca"'):
        Example.read(file)


def test_a_broken_rule_over_several_fields_is_told_in_its_own_words(file: Path) -> None:
    file.write_text(GOOD.replace("gateway-1", "127.0.0.1:50051"))
    with pytest.raises(InvalidSettings) as raised:
        Example.read(file)
    assert str(raised.value) == f'{file}: "name" must differ from "vehicle_address"'


def test_settings_do_not_change(file: Path) -> None:
    settings = Example.read(file)
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "another"

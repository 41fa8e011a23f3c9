"""Flag before environment before the local stack's folder, and a word about what is missing."""

from pathlib import Path

import pytest

from console.failures import ConsoleError, UsageProblem
from console.site import DEFAULT_SERVERS, Site, SiteOptions, find_site


def found(environment: dict[str, str] | None = None, role: str = "operator", **options: object) -> Site:
    return find_site(SiteOptions(**options), role, environment or {})  # type: ignore[arg-type]


def test_without_a_word_it_is_the_local_stack_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = found()
    assert site.home == Path(".pitwall")
    assert site.servers == DEFAULT_SERVERS
    assert site.ca == Path(".pitwall/certs/ca.pem")
    assert site.token_file == Path(".pitwall/tokens/operator")


def test_the_role_picks_the_token() -> None:
    assert found(role="supervisor").token_file == Path(".pitwall/tokens/supervisor")


def test_pitwall_home_moves_all_of_it() -> None:
    site = found({"PITWALL_HOME": "/site"})
    assert (site.ca, site.token_file) == (Path("/site/certs/ca.pem"), Path("/site/tokens/operator"))


def test_the_stacks_own_command_services_are_found(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "command-1.toml").write_text('operator_address = "127.0.0.1:20001"')
    (tmp_path / "config" / "command-2.toml").write_text('operator_address = "0.0.0.0:20002"')
    (tmp_path / "config" / "command-3.toml").write_text("not toml at all [")
    assert found({"PITWALL_HOME": str(tmp_path)}).servers == ("127.0.0.1:20001", "localhost:20002")


def test_a_fleet_service_is_found_by_flag_then_environment_then_stack_then_default(tmp_path: Path) -> None:
    environment = {"PITWALL_HOME": str(tmp_path), "PITWALL_SERVER": "a:1"}
    assert found(environment).fleet_servers == ("localhost:50053",)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "fleet-1.toml").write_text('operator_address = "127.0.0.1:20003"')
    assert found(environment).fleet_servers == ("127.0.0.1:20003",)
    environment["PITWALL_FLEET_SERVER"] = "b:2,c:3"
    assert found(environment).fleet_servers == ("b:2", "c:3")
    assert found(environment, fleet_servers=("d:4",)).fleet_servers == ("d:4",)
    assert found(environment).servers == ("a:1",)


def test_the_environment_beats_the_folder_and_a_flag_beats_both() -> None:
    environment = {"PITWALL_SERVER": "a:1,b:2", "PITWALL_CA": "/ca", "PITWALL_TOKEN_FILE": "/token"}
    site = found(environment)
    assert (site.servers, site.ca, site.token_file) == (("a:1", "b:2"), Path("/ca"), Path("/token"))
    site = found(environment, servers=("c:3", "d:4, c:3"), ca=Path("x"), token_file=Path("y"))
    assert (site.servers, site.ca, site.token_file) == (("c:3", "d:4"), Path("x"), Path("y"))


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":50052", "localhost:http", "localhost:0", "h:65536"])
def test_an_address_that_is_none_is_wrong_usage(address: str) -> None:
    with pytest.raises(UsageProblem, match="HOST:PORT"):
        found(servers=(address,))


@pytest.mark.parametrize("content", ["", "  \n", "two words", "tokén", "x" * 20_000])
def test_a_file_without_a_token_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "operator"
    path.write_text(content, "utf-8")
    with pytest.raises(ConsoleError) as error:
        found(token_file=path).token()
    assert str(path) in error.value.message
    assert "--token-file" in error.value.fix


def test_a_missing_file_is_named_with_the_mend(tmp_path: Path) -> None:
    site = found({"PITWALL_HOME": str(tmp_path)})
    for read, name in ((site.ca_bytes, "ca.pem"), (site.token, "tokens/operator")):
        with pytest.raises(ConsoleError) as error:
            read()
        assert name in error.value.message
        assert "make up" in error.value.fix

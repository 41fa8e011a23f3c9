from pathlib import Path

import pytest

from deploy.local.errors import ToolMissingError
from deploy.local.options import Server
from deploy.local.tools import Tools, check_tools, java_major
from tests.unit.deploy.machine import FLINK, JAVA, KAFKA, POSTGRES, REDIS, machine

ALL = frozenset(Server)


def test_nothing_is_missing_on_a_complete_machine(tmp_path: Path) -> None:
    check_tools(machine(tmp_path), ALL)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (JAVA, "openjdk-17-jdk-headless"),
        (POSTGRES, "postgresql-15"),
        (REDIS, "redis-tools"),
        (KAFKA, "Kafka's jars"),
        (FLINK, "Flink"),
    ],
)
def test_each_missing_tool_is_named_with_its_package_and_the_command_that_installs_it(
    tmp_path: Path, missing: str, named: str
) -> None:
    with pytest.raises(ToolMissingError, match=named) as caught:
        check_tools(machine(tmp_path, without=missing), ALL)
    assert "deploy/local/bootstrap.sh" in str(caught.value)
    assert caught.value.exit_code == 69


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError) as caught:
        check_tools(Tools({"PATH": ""}, tmp_path, tmp_path), ALL)
    assert len(str(caught.value).splitlines()) == 6


def test_a_server_that_is_not_asked_for_may_be_missing(tmp_path: Path) -> None:
    check_tools(machine(tmp_path, without=POSTGRES), ALL - {Server.POSTGRES})


def test_a_java_home_that_holds_none_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    tools = machine(tmp_path)
    with pytest.raises(ToolMissingError, match="JAVA_HOME=/nowhere"):
        Tools({"JAVA_HOME": "/nowhere"}, tools.root, tools.checkout).java_home()


@pytest.mark.parametrize(
    ("release", "major"),
    [
        ('JAVA_VERSION="17.0.15"\n', 17),
        ('JAVA_VERSION="21"\n', 21),
        ('JAVA_VERSION="25.0.1"\n', 25),
        ("IMPLEMENTOR=x\n", None),
    ],
)
def test_the_version_is_read_without_starting_a_jvm(tmp_path: Path, release: str, major: int | None) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").touch()
    (tmp_path / "release").write_text(release)
    assert java_major(tmp_path) == major


def test_a_java_that_flink_refuses_counts_as_missing(tmp_path: Path) -> None:
    tools = machine(tmp_path)
    (tmp_path / JAVA / "release").write_text('JAVA_VERSION="25"\n')
    with pytest.raises(ToolMissingError, match="Java 17"):
        tools.java_home()

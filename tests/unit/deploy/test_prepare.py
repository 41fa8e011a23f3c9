import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.clean import remove
from deploy.local.errors import PortTakenError
from deploy.local.options import Server, StackOptions
from deploy.local.places import Places
from deploy.local.ports import Ports
from deploy.local.prepare import check_ports, make_directory, prepare, write_private
from deploy.local.process import ConfigFile, Directory
from deploy.local.stack import Stack, describe
from tests.unit.deploy.machine import machine


@pytest.fixture(autouse=True)
def _no_sockets_left(tmp_path: Path) -> Iterator[None]:
    """pytest's folders are so deep that the sockets go elsewhere."""
    yield
    remove(Places(tmp_path / "home"))


def redis_stack(tmp_path: Path, port: int = 16379) -> Stack:
    options = StackOptions(tmp_path / "home", Ports.shifted(0, {"redis": port}), vehicles=0, gateways=0)
    options = replace(options, command_services=0, servers=frozenset({Server.REDIS}))
    return describe(options, machine(tmp_path), first_start=True)


def test_a_taken_port_is_an_error_that_names_it_what_it_is_for_and_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTakenError) as caught:
            check_ports(redis_stack(tmp_path, port))
    text = str(caught.value)
    assert f"port {port} for redis" in text
    assert f"pid {os.getpid()}" in text
    assert "PITWALL_PORT_" in text
    assert caught.value.exit_code == 71


def test_a_free_port_is_fine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    check_ports(redis_stack(tmp_path, port))


def test_all_that_is_written_is_for_its_owner_only(tmp_path: Path) -> None:
    stack = redis_stack(tmp_path)
    prepare(stack)
    paths = [stack.options.home, *stack.options.home.rglob("*")]
    assert stack.places.config / "redis.conf" in paths
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in paths)


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    stack = redis_stack(tmp_path)
    prepare(stack)
    before = {path: path.read_bytes() for path in stack.options.home.rglob("*") if path.is_file()}
    prepare(stack)
    assert {path: path.read_bytes() for path in stack.options.home.rglob("*") if path.is_file()} == before


def test_a_file_cut_short_by_a_crash_is_written_whole_the_next_time(tmp_path: Path) -> None:
    (tmp_path / "a.new").write_text("half")
    write_private(ConfigFile(tmp_path / "a", "whole"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "whole")]


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    make_directory(Directory(tmp_path / "open"))
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700

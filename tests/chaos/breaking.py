"""Ways to break a line: links through proxies, a network that goes dark, a process run by hand. Disks: `disks`."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.supervisord import environment_for, log_file
from tests.chaos.disks import mount
from tests.chaos.line import GATEWAYS
from tests.integration.stacks import HOMES, RunningStack
from tests.support.fault_proxy import FaultProxy

#: Where `ip netns exec` looks for the names of hosts; and what ours are called, before the process id of the test run.
_HOSTS = Path("/etc/netns")
_NAMESPACES = "pitwall-"


@contextmanager
def rewired(stack: RunningStack, changes: Mapping[str, Mapping[str, str]]) -> Iterator[None]:
    """Processes with other texts in their configuration, as {process: {old: new}}; restarted before and after."""
    before = {name: (stack.places.config / f"{name}.toml").read_text() for name in changes}
    after = {name: _replaced(text, changes[name]) for name, text in before.items()}
    try:
        _restart(stack, after)
        yield
    finally:
        _restart(stack, before)


@contextmanager
def held_to(stack: RunningStack, readings_per_s: int) -> Iterator[None]:
    """Gateways that let each vehicle bring so many readings a second, and lend nothing; restarted before and after."""
    names = (f'name = "{gateway}"' for gateway in GATEWAYS)
    limits = f"max_readings_per_s = {readings_per_s}\nmax_lent_readings = 0"
    more = ({name: f"{name}\n{limits}"} for name in names)
    with rewired(stack, dict(zip(GATEWAYS, more, strict=True))):
        yield


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old} is not in {text}"
        text = text.replace(old, new)
    return text


def _restart(stack: RunningStack, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (stack.places.config / f"{name}.toml").write_text(text)
        stack.kill(name)
    stack.await_healthy(*texts)


@dataclass(frozen=True, slots=True)
class Links:
    """What stands between command-1 and all others, and between vehicles and gateways."""

    to_gateways: FaultProxy
    to_peers: tuple[FaultProxy, ...]
    to_vehicles: tuple[FaultProxy, ...]

    def heal(self) -> None:
        for proxy in (self.to_gateways, *self.to_peers, *self.to_vehicles):
            proxy.heal()


@contextmanager
def behind_proxies(stack: RunningStack) -> Iterator[Links]:
    with ExitStack() as proxies:

        def proxy(port: str) -> FaultProxy:
            return proxies.enter_context(FaultProxy(stack.address(port)))

        gateways, from_peers = proxy("command-1-link"), proxy("command-1-link")
        peers = {name: proxy(f"{name}-link") for name in ("command-2", "command-3")}
        vehicles = {name: proxy(name) for name in ("gateway-1", "gateway-2")}
        one = stack.address("command-1-link")
        changes = {name: {one: gateways.address} for name in vehicles} | {
            name: {one: from_peers.address} for name in peers
        }
        changes["command-1"] = {stack.address(f"{name}-link"): peers[name].address for name in peers}
        changes["agents"] = {stack.address(name): vehicles[name].address for name in vehicles}
        with rewired(stack, changes):
            yield Links(gateways, (from_peers, *peers.values()), tuple(vehicles.values()))


@contextmanager
def by_hand(
    stack: RunningStack, name: str, *, behind: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """A process as the supervisor would run it, but `behind` another command, or with more in its environment.

    Killed at the end; then the supervisor has it again, healthy.
    """
    process = stack.stack.process(name)
    stack.supervisor.stop(name)
    with log_file(stack.places, name).open("ab") as log:
        child = subprocess.Popen(
            [*behind, *process.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment_for(stack.home, os.environ) | dict(environment or {}),
            cwd=process.directory,
        )
    try:
        yield
    finally:
        child.kill()
        child.wait()
        stack.supervisor.start(name)
        stack.await_healthy(name)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network of its own, with one cable to ours. In it `names` are hosts at our end."""

    name: str
    #: Our end.
    address: str

    @property
    def command(self) -> tuple[str, ...]:
        """To be run in it: put this before."""
        return ("ip", "netns", "exec", self.name)

    def unplug(self) -> None:
        """Silently: nobody is told that what they send goes nowhere."""
        _ip("link", "set", self.name, "down")

    def plug_in(self) -> None:
        _ip("link", "set", self.name, "up")


@contextmanager
def namespace(*names: str) -> Iterator[Namespace]:
    """Takes root. Fails with the kernel's own words where there are none to be had."""
    # A network of its own for each test run on this machine.
    pid = os.getpid()
    block, first = f"10.213.{pid % 256}", pid // 256 % 64 * 4
    ours, theirs = f"{block}.{first + 1}", f"{block}.{first + 2}"
    made = Namespace(f"{_NAMESPACES}{os.getpid()}", ours)
    hosts = _HOSTS / made.name
    try:
        _ip("netns", "add", made.name)
        _ip("link", "add", made.name, "type", "veth", "peer", "name", "truck", "netns", made.name)
        _ip("addr", "add", f"{made.address}/30", "dev", made.name)
        _ip("-n", made.name, "addr", "add", f"{theirs}/30", "dev", "truck")
        for where, link in (("", made.name), (made.name, "truck"), (made.name, "lo")):
            _ip(*(("-n", where) if where else ()), "link", "set", link, "up")
        hosts.mkdir(parents=True)
        (hosts / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{made.address} {name}\n" for name in names))
        yield made
    finally:
        _remove_namespace(made.name)


def _remove_namespace(name: str) -> None:
    shutil.rmtree(_HOSTS / name, ignore_errors=True)
    for arguments in (("link", "del", name), ("netns", "del", name)):
        subprocess.run(["ip", *arguments], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()} (this takes root and iproute2)"


def sweep() -> None:
    """Unmounts and removes what a test run left behind that was killed."""
    for text in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        place = Path(text.split()[1])
        if place.is_relative_to(HOMES) and not _lives(place.relative_to(HOMES).parts[0].partition("-")[0]):
            mount("umount", "--lazy", str(place))
    for place in _HOSTS.glob(f"{_NAMESPACES}*"):
        if not _lives(place.name.removeprefix(_NAMESPACES)):
            _remove_namespace(place.name)


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()

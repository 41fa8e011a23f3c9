"""A site folder with certificates and tokens, a fake command service in it, and `pitwall` to run."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.__main__ import run
from pitwall import devca
from tests.unit.console.fake_fleet import FakeFleet, ServedFleet, serve_fleet
from tests.unit.console.fake_site import FakeService, Pitwall, Ran, Served, serve

#: Nothing listens there.
NOBODY = "localhost:1"


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make up` makes it. Shared: leave it as it is."""
    home = tmp_path_factory.mktemp("pitwall-home")
    devca.ensure(home, commands=["command-1", "command-2"], vehicles=["KOMATSU-930E-001"])
    return home


@pytest.fixture
def home(made_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("PITWALL_SERVER", "PITWALL_CA", "PITWALL_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PITWALL_HOME", str(made_home))
    # Else a fleet service that runs on this machine would be asked.
    monkeypatch.setenv("PITWALL_FLEET_SERVER", NOBODY)
    return made_home


@pytest.fixture
def served(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The site's one command service."""
    one = serve(FakeService(), home / "certs")
    monkeypatch.setenv("PITWALL_SERVER", one.address)
    yield one
    one.stop()


@pytest.fixture
def service(served: Served) -> FakeService:
    return served.service


@pytest.fixture
def served_fleet(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedFleet]:
    """The site's fleet service."""
    one = serve_fleet(FakeFleet(), home / "certs")
    monkeypatch.setenv("PITWALL_FLEET_SERVER", one.address)
    yield one
    one.stop()


@pytest.fixture
def fleet(served_fleet: ServedFleet) -> FakeFleet:
    return served_fleet.service


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """What is started now hears SIGINT: tests that a script runs in the background ignore it, and so would that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def pitwall(home: Path, capsys: pytest.CaptureFixture[str]) -> Pitwall:
    """Runs one command line in this process."""

    def pitwall(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return pitwall

"""deploy/docker: what can be known of the images without building them."""

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/docker"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.Dockerfile"))}
SERVICES = sorted(set(FILES) - {"flink"})


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, arguments), comments gone and continued lines joined."""
    lines = [line for line in FILES[name].read_text().splitlines() if line.strip() and not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines())]


def arguments(name: str, instruction: str) -> list[str]:
    return [rest for word, rest in instructions(name) if word == instruction]


def copies(name: str) -> Iterator[tuple[str, str]]:
    """(source, target) of each thing that comes from the checkout."""
    for rest in arguments(name, "COPY"):
        *sources, target = rest.split()
        if not rest.startswith("--from="):
            yield from ((source, target) for source in sources)


def test_each_service_has_its_file() -> None:
    assert list(FILES) == ["agent", "command", "console", "fleet", "flink", "gateway"]


@pytest.mark.parametrize("name", FILES)
def test_images_that_it_builds_on_are_pinned_and_no_file_takes_arguments(name: str) -> None:
    stages: set[str] = set()
    for rest in arguments(name, "FROM"):
        image, _, stage = rest.partition(" AS ")
        assert image in stages or re.search(r":v?\d+\.\d+\.\d+", image), rest
        stages.add(stage)
    assert not arguments(name, "ARG")
    # COPY does what ADD does, and fetches nothing.
    assert not arguments(name, "ADD")


@pytest.mark.parametrize("name", FILES)
def test_it_runs_as_nobody_special_and_gets_its_signals(name: str) -> None:
    last = [word for word, _ in instructions(name)]
    final = instructions(name)[len(last) - last[::-1].index("FROM") :]
    settings = dict(final)
    assert settings["USER"] == "10001:10001"
    assert [word for word, _ in final].index("USER") > max(i for i, (word, _) in enumerate(final) if word == "RUN")
    # A shell in between would keep the signal to itself.
    entry, command = json.loads(settings["ENTRYPOINT"]), json.loads(settings["CMD"])
    assert entry[:2] == ["python", "-m"]
    assert command
    assert settings["STOPSIGNAL"] == ("SIGINT" if name == "console" else "SIGTERM")
    assert ("/app/healthz.py" in settings["HEALTHCHECK"]) == (name != "console")


@pytest.mark.parametrize("name", FILES)
def test_packages_are_installed_by_their_hashes_from_a_lock(name: str) -> None:
    installs = [rest for rest in arguments(name, "RUN") if '"install"' in rest and '"pip"' in rest]
    assert installs
    assert all("--require-hashes" in rest and ".lock" in rest for rest in installs)
    assert not any(re.search(r"\b(apt-get|apt|curl|wget|https?:)", rest) for rest in arguments(name, "RUN"))


@pytest.mark.parametrize("name", FILES)
def test_what_it_copies_exists_and_is_sent_to_the_builder(name: str) -> None:
    for source, _ in copies(name):
        assert (ROOT / source).exists(), source
        assert not ignored(source), source


def ignored(path: str) -> bool:
    """As Docker reads .dockerignore: the last line that fits decides, for the path or a folder above it."""
    verdict = False
    above = ["/".join(path.split("/")[:i]) for i in range(1, path.count("/") + 2)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not line.startswith("#") and any(fnmatch.fnmatch(part, pattern) for part in above):
            verdict = not line.startswith("!")
    return verdict


@pytest.mark.parametrize("path", [".git", ".venv/bin", ".pitwall/certs", "flink_jobs/target", "deploy/local", "tests"])
def test_nothing_else_is_sent_to_the_builder(path: str) -> None:
    assert ignored(path)


def test_the_first_two_stages_are_the_same_in_each_service_so_that_they_are_built_once() -> None:
    def shared(name: str) -> str:
        text = FILES[name].read_text()
        return text[text.index("# The first two stages") : text.index("FROM base")]

    assert len({shared(name) for name in SERVICES}) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_copied_is_all_that_the_process_imports(name: str, tmp_path: Path) -> None:
    for source, target in copies(name):
        if not source.endswith(".lock"):
            link(ROOT / source, tmp_path / target / (Path(source).name if target == "./" else ""))
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    modules = [json.loads(arguments(name, "ENTRYPOINT")[0])[2]]
    modules += {
        "gateway": ["ingest_gateway.topics"],
        "agent": ["edge_agent.simulator"],
        "console": ["pitwall.devca"],
    }.get(name, [])
    for module in modules:
        # -S: site would put this checkout on the path. --help: imports everything, and starts nothing.
        program = (
            f"import sys, runpy; sys.path[:0] = [{str(tmp_path)!r}]; sys.path.append({packages!r}); "
            f"sys.argv = [{module!r}, '--help']; runpy.run_module({module!r}, run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "usage" in done.stdout.lower()


def link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


# --- locks ----------------------------------------------------------------------------------------------------------


def pins(lock: Path) -> dict[str, set[str]]:
    """name==version -> its hashes. Extras are left out: with them or without, it is the same file."""
    text = re.sub(r"\\\n\s*", " ", lock.read_text())
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {re.sub(r"\[.*?\]", "", line.split()[0]): set(re.findall(r"--hash=(\S+)", line)) for line in lines}


def test_the_images_have_the_versions_that_the_tests_ran_with() -> None:
    ours, all_of_them = pins(FOLDER / "services.lock"), pins(ROOT / "requirements.lock")
    assert len(ours) > 20
    assert {name: all_of_them.get(name) for name in ours} == ours


def test_the_images_have_all_that_the_services_ask_for_and_no_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = {canonical(text) for extra in ("services", "fleet") for text in extras[extra]}
    installed = {canonical(pin) for pin in pins(FOLDER / "services.lock")}
    assert asked <= installed
    tools = {canonical(text) for text in project["dependency-groups"]["dev"]}
    assert not installed & tools


def canonical(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


# --- the health check -------------------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """200 at /healthz and /fine, else 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/healthz", "/fine") else 503)
        self.end_headers()
        self.wfile.write(b"kafka: no broker")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def healthz(where: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", FOLDER / "healthz.py", where], capture_output=True, text=True, check=False
    )


def test_health_is_asked_where_the_settings_say(port: int, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'metrics_address = "0.0.0.0:{port}"\n')
    assert healthz(str(config)).returncode == 0
    assert healthz(f"http://127.0.0.1:{port}/fine").returncode == 0


def test_an_unhealthy_answer_and_none_at_all_fail_with_the_reason(port: int) -> None:
    unwell = healthz(f"http://127.0.0.1:{port}/overview")
    assert (unwell.returncode, unwell.stdout.strip()) == (1, "kafka: no broker")
    gone = healthz("http://127.0.0.1:1/healthz")
    assert gone.returncode == 1
    assert "refused" in gone.stdout

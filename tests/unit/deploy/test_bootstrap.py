import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.tools import CHECKOUT

# What the script itself runs; nothing that it could install with, and no Python.
PROGRAMS = ("bash", "env", "dirname", "sha256sum", "cat", "cut", "id", "sed", "grep")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout on a machine without apt-get, pip, or a Python."""
    folder = tmp_path / "checkout"
    for name in ("deploy/local", "deploy/local/kafka", "flink_jobs", "bin"):
        (folder / name).mkdir(parents=True)
    shutil.copy(CHECKOUT / "deploy/local/bootstrap.sh", folder / "deploy/local")
    for name in ("requirements.lock", "pyproject.toml", "flink_jobs/build.lock", "flink_jobs/requirements.lock"):
        (folder / name).touch()
    for name in PROGRAMS:
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    return folder


def bootstrap(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "deploy/local/bootstrap.sh", *arguments],
        env={"PATH": str(folder / "bin"), "PYTHON": "no-such-python"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_without_a_way_to_install_it_names_the_package_and_ends_with_its_own_code(bare: Path) -> None:
    done = bootstrap(bare, "--python")
    assert done.returncode == 69
    assert "missing: python3-venv" in done.stderr
    assert "apt-get" in done.stderr


def test_it_says_what_it_would_install_before_it_tries(bare: Path) -> None:
    lines = bootstrap(bare, "--python").stderr.splitlines()
    assert "System packages: python3-venv." in lines[0]
    assert "GB of disk" in lines[1]
    assert "minutes" in lines[1]

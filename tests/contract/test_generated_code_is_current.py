"""proto/ is whole: lint clean, compatible with its baseline, and the committed code is what it generates."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
#: The contract as last published; `buf build --exclude-source-info -o baseline.binpb` publishes another on purpose.
BASELINE = PROTO / "baseline.binpb"


def run(*command: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """In proto/, with the programs of this environment, and nothing read from or written to the home directory."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "BUF_CACHE_DIR": str(cache),
    }
    return subprocess.run(command, cwd=PROTO, env=environment, capture_output=True, text=True, check=False)


def files(folder: Path) -> dict[str, bytes]:
    paths = [*folder.rglob("*.py"), *folder.rglob("*.pyi")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_committed_code_is_what_the_protos_generate(tmp_path: Path) -> None:
    done = run("sh", "generate.sh", str(tmp_path / "gen"), cache=tmp_path)
    assert done.returncode == 0, done.stderr
    generated, committed = files(tmp_path / "gen"), files(PROTO / "gen")
    differing = sorted(
        name for name in generated.keys() | committed.keys() if generated.get(name) != committed.get(name)
    )
    assert generated, "generate.sh wrote nothing"
    assert differing == [], "proto/gen is stale: run `make proto` and commit the result"


@pytest.mark.parametrize("command", [("buf", "lint"), ("buf", "build", "-o", "/dev/null")], ids=" ".join)
def test_the_protos_are_clean(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, cache=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_protos_break_nobody_who_knows_the_baseline(tmp_path: Path) -> None:
    done = run("buf", "breaking", "--against", str(BASELINE), cache=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

"""The command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flink_jobs import __main__ as program
from flink_jobs.cluster import ClusterUnreachable
from flink_jobs.keeper import GaveUp
from flink_jobs.settings import InvalidSettings
from flink_jobs.status import PortTaken
from flink_jobs.submit import AlreadyThere, JarsMissing
from pitwall import exits

ROOT = Path(__file__).parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "stream-jobs.toml"
    path.write_text('kafka_bootstrap = "127.0.0.1:9092"\ncheckpoint_dir = "/data"\n')
    return path


def test_sql_prints_the_whole_job(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--config", str(config), "sql"]) == 0
    assert "INSERT INTO vehicle_alerts" in capsys.readouterr().out


def test_a_wrong_setting_ends_it_with_the_code_for_that(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("oops = 1")
    assert program.main(["--config", str(config)]) == exits.EXIT_CONFIG
    assert 'unknown key "oops"' in json.loads(capsys.readouterr().out)["reason"]


def test_exit_codes_are_those_of_the_services() -> None:
    assert {
        GaveUp: exits.EXIT_FAILED,
        AlreadyThere: exits.EXIT_FAILED,
        ClusterUnreachable: exits.EXIT_MISSING,
        JarsMissing: exits.EXIT_MISSING,
        PortTaken: exits.EXIT_PORT_TAKEN,
        InvalidSettings: exits.EXIT_CONFIG,
    } == program.EXITS


def test_it_imports_nothing_but_the_standard_library_and_the_domain(config: Path) -> None:
    """As in its own environment: no site-packages. PyFlink is imported when a job is submitted, not before."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from flink_jobs.__main__ import main; "
    code += f"sys.exit(main(['--config', {str(config)!r}, 'sql']))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

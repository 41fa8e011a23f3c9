"""The command line."""

import json
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from flink_jobs import __main__ as program
from flink_jobs import mender
from flink_jobs.checkpoints import StateGone
from flink_jobs.cluster import ClusterUnreachable
from flink_jobs.history import HistoryGone, HistoryUnreachable
from flink_jobs.keeper import GaveUp, StateLeftBehind, Submission, SubmissionFailed
from flink_jobs.recompute import ClusterBusy, NoFreeSlot, NotOutYet
from flink_jobs.settings import InvalidSettings, Settings
from flink_jobs.status import PortTaken
from flink_jobs.submit import AlreadyThere, JarsMissing, NotCheckpointed, StateUnfit
from flink_jobs.timespans import InvalidSpan
from flink_jobs.uids import SameName
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


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], {}),
        (["--without", "windows of 1 min", "--without", "x"], {"without": ["windows of 1 min", "x"]}),
        (["--without-state"], {"without_state": True}),
        (["--replace-none"], {"replace": False}),
    ],
)
def test_upgrade_hands_the_job_over_without_what_people_name(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    chosen: dict[str, object],
) -> None:
    def submit(settings: Settings, **given: object) -> Submission:
        plain: dict[str, object] = {"without": [], "without_state": False, "replace": True}
        assert (settings.checkpoint_dir, given) == ("/data", plain | chosen)
        return Submission("b", "/data/x", "a")

    monkeypatch.setattr(program, "submit", submit)
    assert program.main(["--config", str(config), "upgrade", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"job_id": "b", "restored_from": "/data/x", "replaced": "a"}


@pytest.mark.parametrize(
    ("code", "said", "raises", "reason"),
    [
        (65, '{"reason": "no place for x"}', StateLeftBehind, "no place for x"),
        (78, '{"reason": "checkpoint_dir: x"}', InvalidSettings, "checkpoint_dir: x"),
        (1, "org.apache.X", SubmissionFailed, "exit code 1: trouble org.apache.X"),
    ],
)
def test_what_a_submission_apart_says_is_told_on(
    monkeypatch: pytest.MonkeyPatch, code: int, said: str, raises: type[Exception], reason: str
) -> None:
    words = [sys.executable, "-c", f"import sys; print('trouble', file=sys.stderr); print({said!r}); sys.exit({code})"]
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: real(words, **options))
    with pytest.raises(raises) as raised:
        program._submit_apart(Path("x.toml"), Event(), True)
    assert str(raised.value) == reason


@pytest.mark.parametrize(("replace", "words"), [(True, ["upgrade"]), (False, ["upgrade", "--replace-none"])])
def test_a_keeper_tells_its_child_whether_to_replace(
    monkeypatch: pytest.MonkeyPatch, replace: bool, words: list[str]
) -> None:
    asked: list[list[str]] = []

    def run_apart(_: Path, arguments: list[str], *__: object) -> str:
        asked.append(arguments)
        return '{"job_id": "b", "restored_from": null, "replaced": null}'

    monkeypatch.setattr(program, "run_apart", run_apart)
    assert program._submit_apart(Path("x.toml"), Event(), replace) == Submission("b", None)
    assert asked == [words]


def test_exit_codes_are_those_of_the_services() -> None:
    assert {
        GaveUp: exits.EXIT_FAILED,
        AlreadyThere: exits.EXIT_FAILED,
        NotCheckpointed: exits.EXIT_FAILED,
        SameName: exits.EXIT_FAILED,
        StateGone: exits.EXIT_FAILED,
        StateLeftBehind: exits.EXIT_STATE,
        StateUnfit: exits.EXIT_STATE,
        InvalidSpan: exits.EXIT_USAGE,
        HistoryGone: mender.GONE,
        HistoryUnreachable: exits.EXIT_MISSING,
        NotOutYet: mender.NOT_OUT_YET,
        ClusterBusy: mender.NOT_OUT_YET,
        NoFreeSlot: exits.EXIT_MISSING,
        ClusterUnreachable: exits.EXIT_MISSING,
        JarsMissing: exits.EXIT_MISSING,
        PortTaken: exits.EXIT_PORT_TAKEN,
        InvalidSettings: exits.EXIT_CONFIG,
    } == program.EXITS


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        pytest.param([], "say --from and --to", id="nothing"),
        pytest.param(["--from", "300"], "as often as each other", id="one end"),
        pytest.param(["--from", "300", "--to", "noon"], "to: 'noon' is no time", id="no time"),
    ],
)
def test_a_recompute_of_no_span_is_wrong_usage(
    config: Path, capsys: pytest.CaptureFixture[str], ends: list[str], reason: str
) -> None:
    assert program.main(["--config", str(config), "recompute", *ends]) == exits.EXIT_USAGE
    assert reason in json.loads(capsys.readouterr().out)["reason"]


def test_a_recompute_says_since_when_readings_are_there(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def recompute(*_: object) -> None:
        raise HistoryGone(900)

    monkeypatch.setattr(program, "recompute", recompute)
    assert program.main(["--config", str(config), "recompute", "--from", "0", "--to", "300"]) == mender.GONE
    said = json.loads(capsys.readouterr().out)
    assert (said["since_s"], "since 1970-01-01T00:15:00Z" in said["reason"]) == (900, True)


def test_it_imports_nothing_but_the_standard_library_the_domain_and_kafkas_client(config: Path) -> None:
    """As in its own environment: no site-packages. PyFlink is imported when a job is submitted, not before."""
    client = "class Any(types.ModuleType):\n  def __getattr__(self, name): return type(name, (), {'__init__': print})\n"
    code = f"import sys, types; sys.path.insert(0, {str(ROOT)!r})\n{client}"
    code += "sys.modules['confluent_kafka'] = Any('confluent_kafka')\nfrom flink_jobs.__main__ import main\n"
    code += f"sys.exit(main(['--config', {str(config)!r}, 'sql']))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

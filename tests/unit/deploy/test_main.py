import os
from pathlib import Path

import pytest

from deploy.local.__main__ import main
from deploy.local.clean import remove
from deploy.local.places import Places


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ):
        if name.startswith("PITWALL_") or name in {"VEHICLES", "RATE_HZ", "TIME_SCALE", "SEED", "REPLAY"}:
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("VEHICLES", "many", 'VEHICLES="many"'),
        ("VEHICLES", "1001", "VEHICLES=1001"),
        ("TIME_SCALE", "-1", "TIME_SCALE=-1"),
        ("PITWALL_PORT_KAFKA", "0", "kafka"),
        ("PITWALL_PORT_OFFSET", "x", "PITWALL_PORT_OFFSET"),
    ],
)
def test_a_value_that_makes_no_sense_is_wrong_usage_and_starts_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    variable: str,
    value: str,
    named: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["up", "--home", str(tmp_path / "home")]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_make_passes_empty_variables_and_they_mean_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VEHICLES", "")
    monkeypatch.setenv("PITWALL_HOME", "")
    monkeypatch.chdir(tmp_path)
    assert main(["down"]) == 0
    assert not (tmp_path / ".pitwall").exists()


def test_missing_java_says_what_to_install_with_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    assert main(["up", "--home", str(tmp_path / "home"), "--servers", "kafka"]) == 69
    assert "openjdk-17-jdk-headless" in capsys.readouterr().err


def test_a_home_that_holds_other_things_is_refused_and_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    mode = tmp_path.stat().st_mode
    assert main(["clean", "--home", str(tmp_path)]) == 1
    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()
    assert tmp_path.stat().st_mode == mode


def test_removing_takes_only_what_is_ours(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    remove(Places(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]

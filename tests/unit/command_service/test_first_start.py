"""The step that makes a new site's journal: once, and never in the place of one that is gone."""

from pathlib import Path

import pytest

from command_service.first_start import main
from command_service.store import JournalProblem, Store
from pitwall.exits import EXIT_CONFIG


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "command-1.toml"
    path.write_text(
        f"""
name = "command-1"
operator_address = "127.0.0.1:0"
link_address = "127.0.0.1:0"
metrics_address = "127.0.0.1:0"
journal = "{tmp_path}/data/command-1.sqlite"
jwks = "jwks.json"
tls = {{ca = "ca.pem", certificate = "c.pem", key = "c.key"}}
"""
    )
    return path


def test_it_makes_a_journal_with_which_the_service_starts(config: Path, tmp_path: Path) -> None:
    journal = tmp_path / "data/command-1.sqlite"
    with pytest.raises(JournalProblem, match="first_start"):
        Store.open(journal, "command-1", first_start=False)
    assert main(["--config", str(config)]) == 0
    Store.open(journal, "command-1", first_start=False).close()


@pytest.mark.parametrize("has_peers", [False, True])
def test_a_service_with_that_journal_is_complete(config: Path, tmp_path: Path, has_peers: bool) -> None:
    """With peers too: nobody has confirmed anything yet. A service that makes its own has to ask them."""
    journal = tmp_path / "data/command-1.sqlite"
    if has_peers:
        with config.open("a") as file:
            file.write('peers = {command-2 = "localhost:1", command-3 = "localhost:2"}')
    assert main(["--config", str(config)]) == 0
    store = Store.open(journal, "command-1", first_start=False, has_peers=has_peers)
    assert store.complete
    store.close()
    other = Store.open(tmp_path / "data/command-9.sqlite", "command-9", first_start=False, has_peers=True)
    assert not other.complete
    other.close()


def test_a_repeat_changes_nothing(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--config", str(config)])
    before = Store.open(tmp_path / "data/command-1.sqlite", "command-1", first_start=False)
    before.commit([], {}, exported=7)
    before.close()
    assert main(["--config", str(config)]) == 0
    assert "there already" in capsys.readouterr().out
    after = Store.open(tmp_path / "data/command-1.sqlite", "command-1", first_start=False)
    assert after.exported == 7
    after.close()


def test_it_makes_none_where_one_was(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--config", str(config)])
    (tmp_path / "data/command-1.sqlite").unlink()
    assert main(["--config", str(config)]) == EXIT_CONFIG
    assert "is gone" in capsys.readouterr().err


def test_it_leaves_a_journal_alone_that_a_running_service_has(config: Path, tmp_path: Path) -> None:
    running = Store.open(tmp_path / "data/command-1.sqlite", "command-1", first_start=True)
    assert main(["--config", str(config)]) == EXIT_CONFIG
    running.close()

"""Disks and certificates, looked at from a thread."""

import time
from pathlib import Path
from shutil import disk_usage

import pytest

from pitwall import surroundings
from pitwall.devca import main as make_certificates
from pitwall.surroundings import MAX_AGE_S, Surroundings
from tests.support.memory import Metrics

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    make_certificates(["--home", str(home), "--gateways", "gateway-1"])
    return home / "certs"


def test_room_and_the_first_end_of_several_certificates_are_shown(certificates: Path, tmp_path: Path) -> None:
    metrics = Metrics()
    files = [certificates / "ca.pem", certificates / "gateway-1.pem"]
    Surroundings({"journal": tmp_path}, {"own": files}, metrics.meter).look()
    shown = metrics.points()
    assert shown["pitwall.disk.size", "journal"] == disk_usage(tmp_path).total
    assert 0 < shown["pitwall.disk.free", "journal"] < shown["pitwall.disk.size", "journal"]
    assert shown["pitwall.certificate.expiry_timestamp", "own"] == pytest.approx(
        time.time() + 30 * DAY_S, abs=3 * DAY_S
    )


def test_before_the_first_look_and_long_after_the_last_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, now = Metrics(), [100.0]
    monkeypatch.setattr(surroundings, "monotonic_s", lambda: now[0])
    around = Surroundings({"journal": tmp_path}, {}, metrics.meter)
    assert metrics.points() == {}
    around.look()
    now[0] += MAX_AGE_S
    assert ("pitwall.disk.free", "journal") in metrics.points()
    now[0] += 1
    assert metrics.points() == {}


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_is_no_certificate_is_an_error_and_no_figure(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises((OSError, ValueError)):
        Surroundings({}, {"own": [file]}, Metrics().meter).look()

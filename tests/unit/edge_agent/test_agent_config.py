"""Settings of the agents' process."""

from pathlib import Path

import pytest

from edge_agent.__main__ import main
from edge_agent.config import AgentSettings
from pitwall.config import InvalidSettings
from pitwall.exits import EXIT_CONFIG, EXIT_MISSING

BASE = """
gateways = ["127.0.0.1:50051"]
data_dir = "data"
certs_dir = "certs"
ca = "ca.pem"
vehicle_socket = "vehicle.sock"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(BASE + text)
    return path


def read(folder: Path, text: str) -> AgentSettings:
    return AgentSettings.read(write(folder, text))


HOSTED = [
    ("one by its id", 'vehicle_id = "KOMATSU-930E-007"', None, ("KOMATSU-930E-007",)),
    ("a fleet", "fleet = 2", None, ("KOMATSU-930E-001", "KOMATSU-980E-002")),
    ("a later part of a fleet", "fleet = 2\nfleet_first = 251", None, ("KOMATSU-930E-251", "KOMATSU-980E-252")),
    ("a fleet and a recording", "fleet = 1\nreplay = true", None, ("KOMATSU-930E-001", "REPLAY-TRUCK-001")),
    ("a fleet of the command line", "fleet = 9", 1, ("KOMATSU-930E-001",)),
    ("nobody", "", None, ()),
]


@pytest.mark.parametrize(("text", "fleet", "ids"), [row[1:] for row in HOSTED], ids=[row[0] for row in HOSTED])
def test_who_is_hosted(tmp_path: Path, text: str, fleet: int | None, ids: tuple[str, ...]) -> None:
    assert read(tmp_path, text).vehicle_ids(fleet) == ids


REFUSED = [
    ("an unknown key", 'gatways = ["x:1"]', 'unknown key "gatways"; did you mean "gateways"?'),
    ("an id that is none", 'vehicle_id = "truck 7"', "vehicle_id"),
    ("one and many", 'vehicle_id = "KOMATSU-930E-007"\nfleet = 2', "leave one side out"),
    ("a part beyond the fleet", "fleet = 2\nfleet_first = 5000", "fleet_first"),
    ("faster than the vehicle measures", "rate_hz = 10.1", "rate_hz"),
    ("no rate", "rate_hz = 0", "rate_hz"),
    ("an outbox without room", "outbox_max_bytes = 1", "outbox_max_bytes"),
    ("a word for a number", 'fleet = "many"', "fleet"),
    ("a consent that is none", 'drills = "perhaps"', "drills"),
]


@pytest.mark.parametrize(("text", "named"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_wrong_ends_the_start_and_is_named(
    tmp_path: Path, text: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(path)])
    assert ended.value.code == EXIT_CONFIG
    assert named in capsys.readouterr().err


def test_nobody_is_drilled_who_has_not_said_so(tmp_path: Path) -> None:
    assert not read(tmp_path, "").drills
    assert read(tmp_path, "drills = true").drills


def test_no_gateway_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(BASE.replace('"127.0.0.1:50051"', ""))
    with pytest.raises(InvalidSettings, match="gateways"):
        AgentSettings.read(path)


def test_a_fleet_of_the_command_line_that_is_too_large_from_there_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(write(tmp_path, "fleet_first = 4999")), "--fleet", "3"]) == EXIT_CONFIG
    assert "fleet_first" in capsys.readouterr().err


def test_no_vehicle_ends_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(write(tmp_path, ""))]) == EXIT_CONFIG
    assert "vehicle_id" in capsys.readouterr().err


def test_an_empty_plant_dir_switches_the_readings_file_off(tmp_path: Path) -> None:
    assert read(tmp_path, 'plant_dir = ""').plant_dir is None
    assert read(tmp_path, 'plant_dir = "plant"').plant_dir == Path("plant")


def test_each_vehicle_shows_its_own_certificate(tmp_path: Path) -> None:
    tls = read(tmp_path, "").tls("KOMATSU-930E-007")
    assert (tls.certificate, tls.key) == (Path("certs/KOMATSU-930E-007.pem"), Path("certs/KOMATSU-930E-007.key"))


def test_a_data_dir_that_can_not_be_one_ends_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file")
    path = tmp_path / "agent.toml"
    path.write_text(BASE.replace('"data"', f'"{in_the_way}"') + "fleet = 1")
    assert main(["--config", str(path)]) == EXIT_MISSING
    assert str(in_the_way) in capsys.readouterr().err

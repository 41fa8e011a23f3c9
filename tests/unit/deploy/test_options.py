from pathlib import Path

import pytest

from deploy.local.errors import UsageError
from deploy.local.options import MAX_VEHICLES, StackOptions
from deploy.local.ports import Ports

HOME = Path("/somewhere/.pitwall")


def test_odd_vehicles_are_930e_and_even_ones_980e_and_the_replay_comes_on_top(tmp_path: Path) -> None:
    recording = tmp_path / "recording.csv"
    recording.touch()
    assert StackOptions(HOME, vehicles=2, replay=recording).vehicle_ids == (
        "KOMATSU-930E-001",
        "KOMATSU-980E-002",
        "REPLAY-TRUCK-001",
    )


@pytest.mark.parametrize("vehicles", [0, MAX_VEHICLES])
def test_the_limits_themselves_are_fine(vehicles: int) -> None:
    assert len(StackOptions(HOME, vehicles=vehicles).vehicle_ids) == vehicles


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"vehicles": -1}, "VEHICLES=-1"),
        ({"vehicles": MAX_VEHICLES + 1}, "VEHICLES=1001"),
        ({"rate_hz": 0.0}, "RATE_HZ=0.0"),
        ({"rate_hz": float("nan")}, "RATE_HZ=nan"),
        ({"time_scale": 0.0}, "TIME_SCALE=0.0"),
        ({"gateways": 5}, "gateways=5"),
        ({"command_services": 2}, "command services=2"),
        ({"rate_hz": 10.1}, "RATE_HZ=10.1"),
        ({"replay": Path("/no/such/file.csv")}, "/no/such/file.csv"),
        ({"home": Path("relative")}, "relative"),
        ({"home": Path("/a'b")}, "PITWALL_HOME"),
    ],
)
def test_refused_with_the_name_of_the_value(options: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        StackOptions(**({"home": HOME} | options))  # type: ignore[arg-type]


def test_the_fingerprint_changes_with_each_option_but_not_with_the_home() -> None:
    base = StackOptions(HOME)
    variants = [
        StackOptions(HOME, vehicles=13),
        StackOptions(HOME, rate_hz=2),
        StackOptions(HOME, time_scale=2),
        StackOptions(HOME, seed=2),
        StackOptions(HOME, gateways=1),
        StackOptions(HOME, command_services=1),
        StackOptions(HOME, plant_readings=False),
        StackOptions(HOME, servers=frozenset()),
        StackOptions(HOME, picture=False),
        StackOptions(HOME, ports=Ports.shifted(1)),
    ]
    fingerprints = {options.fingerprint for options in (base, *variants)}
    assert len(fingerprints) == 1 + len(variants)
    assert StackOptions(Path("/elsewhere")).fingerprint == base.fingerprint

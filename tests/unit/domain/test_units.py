import math

import pytest

from pitwall.domain.units import QUANTITIES, Quantity, kpa_to_psi, kph_to_mps, mps_to_kph


def test_conversions() -> None:
    assert kpa_to_psi(100) == pytest.approx(14.5038, abs=1e-4)
    assert kph_to_mps(36) == pytest.approx(10)
    assert mps_to_kph(10) == pytest.approx(36)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=lambda q: q.name)
def test_the_range_is_inclusive_and_finite(quantity: Quantity) -> None:
    assert quantity.admits(quantity.minimum)
    assert quantity.admits(quantity.maximum)
    assert not quantity.admits(math.nextafter(quantity.minimum, -math.inf))
    assert not quantity.admits(math.nextafter(quantity.maximum, math.inf))
    for impossible in (math.nan, math.inf, -math.inf):
        assert not quantity.admits(impossible)


def test_the_ranges_are_those_of_the_table() -> None:
    """Written out once more: a slip of a digit above would reject good readings of a whole fleet."""
    assert {q.name: (q.minimum, round(q.maximum, 6)) for q in QUANTITIES.values()} == {
        "speed_kph": (0, 130),
        "payload_tons": (0, 550),
        "engine_temperature_celsius": (-60, 210),
        "engine_rpm": (0, 8031.875),
        "fuel_level_percent": (0, 100),
        "battery_level_percent": (0, 100),
        "battery_volts": (0, 60),
        "brake_pressure_psi": (0, 5000),
        "tire_pressure_front_left_psi": (0, 200),
        "tire_pressure_front_right_psi": (0, 200),
        "tire_pressure_rear_left_psi": (0, 200),
        "tire_pressure_rear_right_psi": (0, 200),
        "latitude_degrees": (-90, 90),
        "longitude_degrees": (-180, 180),
        "altitude_meters": (-500, 7000),
        "heading_degrees": (0, 360),
    }
    assert not QUANTITIES["heading_degrees"].admits(360)

"""Units, and the range in which each quantity of a reading can be true.

The ranges say what a sensor on such a vehicle can measure at all, not what is healthy: alert rules judge that. A value
outside is not a bad vehicle but a bad value, and the reading is rejected with the name of the field.
"""

import math
from dataclasses import dataclass

#: Pound-force per square inch in kilopascal (NIST SP 811, appendix B.8).
KPA_PER_PSI = 6.894757293168
KPH_PER_MPS = 3.6


def kpa_to_psi(kilopascal: float) -> float:
    return kilopascal / KPA_PER_PSI


def kph_to_mps(kph: float) -> float:
    return kph / KPH_PER_MPS


def mps_to_kph(mps: float) -> float:
    return mps * KPH_PER_MPS


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measured field of a Reading: its name there, its unit in words, the inclusive range of possible values."""

    name: str
    unit: str
    minimum: float
    maximum: float

    def admits(self, value: float) -> bool:
        """False also for NaN and infinities."""
        return self.minimum <= value <= self.maximum and math.isfinite(value)


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        # Twice the top speed of the fastest model, so that a runaway is still recorded.
        Quantity("speed_kph", "km/h", 0, 130),
        # A 980E is rated 369 t; half as much again is a scale fault.
        Quantity("payload_tons", "t", 0, 550),
        Quantity("engine_temperature_celsius", "°C", -60, 210),
        Quantity("engine_rpm", "rpm", 0, 8031.875),  # range of SAE J1939 SPN 190
        Quantity("fuel_level_percent", "%", 0, 100),
        Quantity("battery_level_percent", "%", 0, 100),
        Quantity("battery_volts", "V", 0, 60),
        Quantity("brake_pressure_psi", "psi", 0, 5000),  # hydraulic wheel brakes of the 980E work at about 3,000
        Quantity("tire_pressure_front_left_psi", "psi", 0, 200),
        Quantity("tire_pressure_front_right_psi", "psi", 0, 200),
        Quantity("tire_pressure_rear_left_psi", "psi", 0, 200),
        Quantity("tire_pressure_rear_right_psi", "psi", 0, 200),
        Quantity("latitude_degrees", "°", -90, 90),
        Quantity("longitude_degrees", "°", -180, 180),
        # From the shore of the Dead Sea to above the highest mine.
        Quantity("altitude_meters", "m", -500, 7000),
        Quantity("heading_degrees", "°", 0, math.nextafter(360, 0)),
    )
}

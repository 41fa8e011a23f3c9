"""What the simulated trucks are made of. Figures are those of the makers' data sheets, rounded."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Model:
    """One model of haul truck."""

    name: str
    empty_mass_kg: float
    rated_payload_tons: float
    #: What a shovel really puts on it.
    lowest_payload_tons: float
    highest_payload_tons: float
    wheel_power_w: float
    tank_liters: float


KOMATSU_930E: Final = Model(
    name="930E",
    empty_mass_kg=210_000,
    rated_payload_tons=290,
    lowest_payload_tons=240,
    highest_payload_tons=300,
    wheel_power_w=1_900_000,
    tank_liters=4_540,
)
KOMATSU_980E: Final = Model(
    name="980E",
    empty_mass_kg=256_000,
    rated_payload_tons=369,
    lowest_payload_tons=320,
    highest_payload_tons=400,
    wheel_power_w=2_400_000,
    tank_liters=5_300,
)
#: A load above this share of the rated one is an overload (PAYLOAD_OVERLOAD), and normal loading stays below it.
OVERLOAD_SHARE: Final = 1.1

assert all(m.highest_payload_tons < m.rated_payload_tons * OVERLOAD_SHARE for m in (KOMATSU_930E, KOMATSU_980E))


def model_of(vehicle_id: str) -> Model:
    """By the name in the id; a 930E where the id says nothing."""
    return KOMATSU_980E if "980E" in vehicle_id else KOMATSU_930E

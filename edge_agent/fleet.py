"""How the vehicles of a simulated fleet are called."""

from typing import Final

REPLAY_VEHICLE_ID: Final = "REPLAY-TRUCK-001"

#: Vehicles that one plant or one agent process hosts at most. Theirs is a 16-bit index on the vehicle socket.
MAX_FLEET: Final = 5_000


def fleet_ids(count: int) -> tuple[str, ...]:
    """The ids of `count` vehicles: odd numbers are 930E, even ones 980E. ValueError above MAX_FLEET."""
    if not 0 <= count <= MAX_FLEET:
        raise ValueError(f"fleet is {count}; it must be 0 to {MAX_FLEET} vehicles")
    return tuple(f"KOMATSU-{'930E' if number % 2 else '980E'}-{number:03d}" for number in range(1, count + 1))
